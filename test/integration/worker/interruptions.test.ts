import { once } from "node:events";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";

import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { Attempt_Outcome, TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { requestCancel } from "../../../src/task/lifecycle.ts";
import type { Submission } from "../../../src/task/submission.ts";
import { newToken } from "../../../src/task/write-token.ts";
import { type AttemptAborted, FatalError, type TaskContext } from "../../../src/worker/index.ts";
import { eventually } from "../../support/eventually.ts";
import { useNatsServer } from "../../support/nats-server.ts";
import { type Bench, jsonResultOf, leaseMs, openBench, policy, stateOf } from "./support.ts";

const server = useNatsServer();

/** Asks a running attempt to stop, as the API does. */
async function cancel(
  { deployment: { records, jobs } }: Bench,
  { task: { key } }: Submission,
  { graceMs = 10_000, hint = true }: { graceMs?: number; hint?: boolean } = {},
): Promise<void> {
  await eventually("the request to be accepted", async () => {
    const running = await records.read(key);
    if (running?.head.state !== TaskState.RUNNING) return false;
    const request = { requestedBy: "tester", reason: "enough", graceMs, nowMs: Date.now() };
    // A heartbeat may come in between; then once more.
    return records.write(requestCancel(running, request), newToken());
  });
  if (hint) jobs.hint(key);
}

/** Waits for its signal, then ends as told. */
function untilAborted(then: (why: string) => unknown) {
  return async ({ signal }: TaskContext) => {
    if (!signal.aborted) await once(signal, "abort");
    return then((signal.reason as AttemptAborted).why);
  };
}

/** Is deaf to its signal until it is let go. */
function stubborn() {
  const { promise, resolve } = Promise.withResolvers<string>();
  return { handler: () => promise, release: resolve };
}

test("a handler that is asked to cancel stops, and its task is CANCELLED", async () => {
  await using bench = await openBench(server.url);
  let why: unknown;
  await bench.start(async ({ signal }) => {
    await sleep(60_000, undefined, { signal }).catch((error: Error) => {
      why = error.cause;
      throw error;
    });
  });
  const submission = await bench.submit();
  const askedMs = performance.now();
  await cancel(bench, submission);
  const task = await bench.ended(submission);
  expect(performance.now() - askedMs, "the hint is what tells, not the heartbeat").toBeLessThan(leaseMs / 3);
  expect(stateOf(task)).toBe("CANCELLED");
  expect(why).toMatchObject({ name: "AttemptAborted", why: "cancelled" });
  expect(task.mutable.attempts).toMatchObject([{ outcome: Attempt_Outcome.CANCELLED }]);
  expect(task.mutable.cancellation).toMatchObject({ requestedBy: "tester", reason: "enough" });
  await eventually("the job to be gone", async () => (await bench.count("job")) === 0);
  expect(await bench.count("dead")).toBe(0);
});

test("without a hint, a request to cancel is found with the next heartbeat", async () => {
  await using bench = await openBench(server.url);
  const reasons: string[] = [];
  await bench.start(untilAborted((why) => void reasons.push(why)));
  const submission = await bench.submit();
  await cancel(bench, submission, { hint: false });
  // It returned, so the truth is that it succeeded; the request stays visible.
  const task = await bench.ended(submission, leaseMs);
  expect(reasons).toEqual(["cancelled"]);
  expect(stateOf(task)).toBe("SUCCEEDED");
  expect(task.mutable.cancellation).toMatchObject({ reason: "enough" });
});

test("a handler that does not heed a request to cancel is left behind after its grace", async () => {
  await using bench = await openBench(server.url);
  const { handler, release } = stubborn();
  const worker = await bench.start({ t: handler, other: () => "fine" }, { slots: 2 });
  const submission = await bench.submit();
  await cancel(bench, submission, { graceMs: 200 });
  expect(stateOf(await bench.ended(submission))).toBe("CANCELLED");
  expect(worker.figures().busy, "its slot is not free").toBe(1);
  expect(stateOf(await bench.ended(await bench.submit({ type: "other" })))).toBe("SUCCEEDED");
  release("at last");
  await eventually("its slot to be free", () => worker.figures().busy === 0);
  expect(stateOf((await bench.deployment.records.read(submission.task.key))!)).toBe("CANCELLED");
});

test("a handler that ends while the request to cancel is on its way has succeeded", async () => {
  await using bench = await openBench(server.url);
  const { handler, release } = stubborn();
  await bench.start(handler);
  const submission = await bench.submit();
  await cancel(bench, submission, { hint: false });
  release("done");
  const task = await bench.ended(submission);
  expect(stateOf(task)).toBe("SUCCEEDED");
  expect(jsonResultOf(task)).toBe("done");
  expect(task.mutable.cancellation).toMatchObject({ reason: "enough" });
});

test("a task that fails for good before it sees the request to cancel has failed", async () => {
  await using bench = await openBench(server.url);
  const { promise, resolve } = Promise.withResolvers<void>();
  await bench.start(async () => {
    await promise;
    throw new FatalError("HOPELESS", "never");
  });
  const submission = await bench.submit();
  await cancel(bench, submission, { hint: false });
  resolve();
  const task = await bench.ended(submission);
  expect(stateOf(task)).toBe("FAILED");
  expect(task.mutable.error?.code).toBe("HOPELESS");
  expect(await bench.count("dead")).toBe(1);
});

test("an attempt that would be repeated is not, once somebody has asked to cancel", async () => {
  await using bench = await openBench(server.url);
  const { promise, resolve } = Promise.withResolvers<void>();
  await bench.start(async () => {
    await promise;
    throw new Error("try again");
  });
  const submission = await bench.submit({ retryPolicy: policy(5) });
  await cancel(bench, submission, { hint: false });
  resolve();
  const task = await bench.ended(submission);
  expect(stateOf(task)).toBe("CANCELLED");
  expect(task.mutable.attempts).toHaveLength(1);
});

test("an attempt that takes longer than its timeout is told so, and the task is run again", async () => {
  await using bench = await openBench(server.url);
  const reasons: string[] = [];
  await bench.start(async (context) => {
    if (context.attempt === 2) return "in time";
    return untilAborted((why) => {
      reasons.push(why);
      throw new Error("stopped");
    })(context);
  });
  const task = await bench.ended(await bench.submit({ timeout: durationFromMs(100), retryPolicy: policy(3) }));
  expect(stateOf(task)).toBe("SUCCEEDED");
  expect(reasons).toEqual(["timeout"]);
  expect(task.mutable.attempts).toMatchObject([
    { outcome: Attempt_Outcome.FAILED, error: { code: "TIMEOUT", retryable: true } },
    { outcome: Attempt_Outcome.SUCCEEDED },
  ]);
});

test("an attempt that does not end with its timeout is recorded without it", async () => {
  await using bench = await openBench(server.url);
  const { handler, release } = stubborn();
  await bench.start(handler);
  const task = await bench.ended(await bench.submit({ timeout: durationFromMs(50), retryPolicy: policy(1) }));
  release("too late");
  expect(stateOf(task)).toBe("FAILED");
  expect(task.mutable.error?.code).toBe("TIMEOUT");
});

test("a result that comes after the timeout and before the record counts", async () => {
  await using bench = await openBench(server.url);
  await bench.start(untilAborted(() => "just so"));
  const task = await bench.ended(await bench.submit({ timeout: durationFromMs(50), retryPolicy: policy(1) }));
  expect(stateOf(task)).toBe("SUCCEEDED");
  expect(jsonResultOf(task)).toBe("just so");
});

test("an attempt that runs into the deadline ends its task as EXPIRED", async () => {
  await using bench = await openBench(server.url);
  await bench.start(async ({ signal }) => {
    await sleep(60_000, undefined, { signal });
  });
  const task = await bench.ended(
    await bench.submit({ deadline: timestampFromMs(Date.now() + 400), retryPolicy: policy(5) }),
  );
  expect(stateOf(task)).toBe("EXPIRED");
  expect(task.mutable.attempts).toMatchObject([{ outcome: Attempt_Outcome.EXPIRED }]);
  expect(task.mutable.error?.code).toBe("DEADLINE_EXCEEDED");
});

test("a task whose deadline has passed is not started", async () => {
  await using bench = await openBench(server.url);
  const submission = await bench.submit({ deadline: timestampFromMs(Date.now() + 1) });
  let runs = 0;
  await bench.start(() => {
    runs += 1;
  });
  const task = await bench.ended(submission);
  expect(stateOf(task)).toBe("EXPIRED");
  expect(task.head.attempt).toBe(0);
  expect(runs).toBe(0);
});

test("a retry that would come after the deadline does not put off the end", async () => {
  await using bench = await openBench(server.url);
  await bench.start(() => {
    throw new Error("broken");
  });
  const deadlineMs = Date.now() + 500;
  const submission = await bench.submit({ deadline: timestampFromMs(deadlineMs), retryPolicy: policy(5, 10_000) });
  const task = await bench.ended(submission);
  expect(stateOf(task)).toBe("EXPIRED");
  expect(task.mutable.attempts).toHaveLength(1);
});

test("a draining worker lets its tasks finish", async () => {
  await using bench = await openBench(server.url);
  const { handler, release } = stubborn();
  const worker = await bench.start(handler, { slots: 1 });
  const [first, second] = [await bench.submit(), await bench.submit()];
  await bench.reached(first, TaskState.RUNNING);
  const drained = worker.drain();
  expect(worker.drain()).toBe(drained);
  release("finished");
  await drained;
  expect(worker.state).toBe("stopped");
  expect(jsonResultOf(await bench.ended(first))).toBe("finished");
  expect(await bench.deployment.records.read(second.task.key), "nothing was begun").toBeUndefined();
  await bench.start(() => "by another");
  // Given back, not left to its lease.
  expect(jsonResultOf(await bench.ended(second, leaseMs / 2))).toBe("by another");
});

test("what is on its way to a worker that drains is given back at once", async () => {
  await using bench = await openBench(server.url);
  const worker = await bench.start(() => {}, { slots: 50 });
  const submissions = Array.from({ length: 20 }, () => bench.submit());
  await setImmediate();
  // Meanwhile the server has delivered them, and this process has not read them.
  const untilMs = performance.now() + 50;
  while (performance.now() < untilMs);
  await worker.drain();
  await bench.start(() => {}, { slots: 50 });
  for (const submission of submissions) {
    expect(stateOf(await bench.ended(await submission, leaseMs / 2))).toBe("SUCCEEDED");
  }
});

test("when the drain takes too long, tasks are told to stop and run again elsewhere", async () => {
  await using bench = await openBench(server.url);
  const reasons: string[] = [];
  const worker = await bench.start(
    untilAborted((why) => {
      reasons.push(why);
      throw new Error("stopped");
    }),
    { drainTimeoutMs: 100 },
  );
  const submission = await bench.submit({ retryPolicy: policy(3, 10_000) });
  await bench.reached(submission, TaskState.RUNNING);
  await worker.drain();
  expect(reasons).toEqual(["draining"]);
  await bench.start(() => "by another");
  const task = await bench.ended(submission, 2_000);
  expect(jsonResultOf(task)).toBe("by another");
  expect(task.mutable.attempts).toMatchObject([{ error: { code: "DRAINED" } }, { number: 2 }]);
});

test("a stop cuts a drain short, and does not wait for a handler that is deaf", async () => {
  await using bench = await openBench(server.url);
  const { handler, release } = stubborn();
  const worker = await bench.start(handler, { drainTimeoutMs: 60_000, settleTimeoutMs: 100 });
  const submission = await bench.submit({ retryPolicy: policy(3) });
  await bench.reached(submission, TaskState.RUNNING);
  const drained = worker.drain();
  await worker.stop();
  await drained;
  const task = (await bench.deployment.records.read(submission.task.key))!;
  expect(stateOf(task)).toBe("RETRYING");
  expect(task.mutable.error?.code).toBe("DRAINED");
  release("too late");
});

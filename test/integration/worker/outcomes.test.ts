import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { headers } from "@nats-io/transport-node";
import { expect, test } from "vitest";

import { Attempt_Outcome, TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { CancelledError, FatalError, type Handler, RetryableError } from "../../../src/worker/index.ts";
import { eventually } from "../../support/eventually.ts";
import { useNatsServer } from "../../support/nats-server.ts";
import { jsonPayload, jsonResultOf, openBench, policy, type Request, stateOf } from "./support.ts";

const server = useNatsServer();

/** Runs one task to its end. */
async function run(handler: Handler, request: Request = {}) {
  await using bench = await openBench(server.url);
  await bench.start(handler);
  const task = await bench.ended(await bench.submit(request));
  await eventually("the queue to be tidy", async () => (await bench.count("job")) + (await bench.count("delay")) === 0);
  const { error, attempts } = task.mutable;
  return { task, status: task.mutable, error, attempts, state: stateOf(task), dead: await bench.count("dead") };
}

test.each([
  ["nothing", undefined, undefined],
  ["a text", "done", "done"],
  ["null", null, null],
  ["a promise of a number", Promise.resolve(7), 7],
  ["an object", { a: [1, { b: undefined, c: new Date(0) }] }, { a: [1, { c: "1970-01-01T00:00:00.000Z" }] }],
])("a handler that returns %s succeeds with it", async (_what, returned, result) => {
  const { task, state, attempts, dead } = await run(() => returned);
  expect(state).toBe("SUCCEEDED");
  expect(jsonResultOf(task)).toEqual(result);
  expect(attempts).toMatchObject([{ number: 1, outcome: Attempt_Outcome.SUCCEEDED }]);
  expect(dead).toBe(0);
});

test("bytes go through a task untouched", async () => {
  const { status } = await run(({ payload }) => (payload as Uint8Array).toReversed(), {
    payload: { value: { case: "data", value: new Uint8Array([1, 2, 3]) } },
  });
  expect(status.result?.value).toEqual({ case: "data", value: new Uint8Array([3, 2, 1]) });
});

test("a handler is given its task", async () => {
  const deadlineMs = Date.now() + 60_000;
  const { task } = await run(
    ({ taskId, queue, type, payload, contentType, attempt, maxAttempts, labels, deadline, traceparent, signal }) => ({
      taskId,
      queue,
      type,
      payload: payload as string,
      contentType,
      attempt,
      maxAttempts,
      labels,
      deadline: deadline?.getTime(),
      isTraced: traceparent !== undefined,
      isAborted: signal.aborted,
    }),
    {
      payload: { ...jsonPayload("hello"), contentType: "text/plain" },
      labels: { tenant: "acme" },
      deadline: timestampFromMs(deadlineMs),
      retryPolicy: policy(5),
    },
  );
  expect(jsonResultOf(task)).toEqual({
    taskId: `${task.key.queue}_${task.key.suffix}`,
    queue: task.key.queue,
    type: "t",
    payload: "hello",
    contentType: "text/plain",
    attempt: 1,
    maxAttempts: 5,
    labels: { tenant: "acme" },
    deadline: deadlineMs,
    isTraced: false,
    isAborted: false,
  });
});

test("a handler that fails is run again after its backoff, until it succeeds", async () => {
  const startedMs: number[] = [];
  const { state, status, attempts, dead } = await run(
    ({ attempt }) => {
      startedMs.push(performance.now());
      if (attempt < 3) throw new RetryableError("BUSY", "not yet", { details: { attempt: String(attempt) } });
      return attempt;
    },
    { retryPolicy: policy(5, 400) },
  );
  expect(state).toBe("SUCCEEDED");
  expect(attempts).toMatchObject([
    { outcome: Attempt_Outcome.FAILED, error: { code: "BUSY", message: "not yet", details: { attempt: "1" } } },
    { outcome: Attempt_Outcome.FAILED, error: { code: "BUSY", details: { attempt: "2" } } },
    { outcome: Attempt_Outcome.SUCCEEDED },
  ]);
  const pausesMs = startedMs.slice(1).map((ms, index) => ms - startedMs[index]!);
  expect(pausesMs[0]).toBeGreaterThanOrEqual(395);
  expect(pausesMs[1]).toBeGreaterThanOrEqual(795);
  expect(status.error).toBeUndefined();
  expect(dead).toBe(0);
});

test("a task whose attempts are spent has failed, and its job is kept", async () => {
  const { state, error, attempts, dead } = await run(
    () => {
      throw new Error("broken");
    },
    { retryPolicy: policy(2) },
  );
  expect(state).toBe("FAILED");
  expect(error).toMatchObject({ code: "HANDLER_ERROR", message: "broken", retryable: true });
  expect(attempts).toHaveLength(2);
  expect(dead).toBe(1);
});

test("an error may say itself when to come back", async () => {
  const startedMs: number[] = [];
  await run(
    () => {
      startedMs.push(performance.now());
      if (startedMs.length === 1) throw new RetryableError("LATER", "come back soon", { retryDelayMs: 300 });
    },
    { retryPolicy: policy(2, 10_000) },
  );
  expect(startedMs[1]! - startedMs[0]!).toBeGreaterThanOrEqual(295);
  expect(startedMs[1]! - startedMs[0]!).toBeLessThan(5_000);
});

test.each<[string, unknown, object]>([
  ["a fatal error", new FatalError("NO_SUCH_USER", "gone"), { code: "NO_SUCH_USER", retryable: false }],
  ["a code that the policy does not retry", new RetryableError("FORBIDDEN", "no"), { code: "FORBIDDEN" }],
])("%s ends the task at once", async (_what, thrown, expected) => {
  const { state, error, attempts, dead } = await run(
    () => {
      throw thrown;
    },
    { retryPolicy: policy(5, 50, ["FORBIDDEN"]) },
  );
  expect(state).toBe("FAILED");
  expect(error).toMatchObject(expected);
  expect(attempts).toHaveLength(1);
  expect(dead).toBe(1);
});

test("a handler may cancel its own task", async () => {
  const { state, status, attempts, dead } = await run(() => {
    throw new CancelledError("nothing to do any more");
  });
  expect(state).toBe("CANCELLED");
  expect(status.cancellation).toMatchObject({ requestedBy: "handler", reason: "nothing to do any more" });
  expect(attempts).toMatchObject([{ outcome: Attempt_Outcome.CANCELLED }]);
  expect(dead).toBe(0);
});

const cyclic: Record<string, unknown> = {};
cyclic["self"] = cyclic;

test.each<[string, unknown, string]>([
  ["a bigint", { a: 1n }, "INVALID_RESULT"],
  ["a cycle", cyclic, "INVALID_RESULT"],
  ["a function", () => 1, "INVALID_RESULT"],
  ["a number that JSON does not have", [Number.NaN], "INVALID_RESULT"],
  ["a large text", "x".repeat(256 * 1024), "RESULT_TOO_LARGE"],
  ["many bytes", new Uint8Array(256 * 1024 + 1), "RESULT_TOO_LARGE"],
])("a handler that returns %s has failed for good", async (_what, returned, code) => {
  const { state, error, attempts } = await run(() => returned, { retryPolicy: policy(5) });
  expect(state).toBe("FAILED");
  expect(error).toMatchObject({ code, retryable: false });
  expect(attempts).toHaveLength(1);
});

test.each<[string, unknown, string]>([
  ["a text", "just a text", "just a text"],
  ["undefined", undefined, "threw undefined"],
  ["null", null, "threw null"],
  [
    "an object that cannot be looked at",
    new Proxy(
      {},
      {
        get: () => {
          throw new Error("hands off");
        },
      },
    ),
    "threw something that cannot be described",
  ],
])("a handler that throws %s has failed, and the worker goes on", async (_what, thrown, message) => {
  await using bench = await openBench(server.url);
  await bench.start({
    t: () => {
      throw thrown;
    },
    fine: () => "fine",
  });
  const task = await bench.ended(await bench.submit({ retryPolicy: policy(1) }));
  expect(stateOf(task)).toBe("FAILED");
  expect(task.mutable.error).toMatchObject({ code: "HANDLER_ERROR", message });
  expect(stateOf(await bench.ended(await bench.submit({ type: "fine" })))).toBe("SUCCEEDED");
});

test("a job that cannot be decoded fails its task", async () => {
  await using bench = await openBench(server.url);
  const { task } = bench.deployment.submission({ queue: bench.queue });
  const { connection } = bench.deployment.nats;
  const fields = headers();
  fields.set("Tw-Status", Buffer.from(task.immutable).toString("base64"));
  connection.publish(`job.${bench.queue}.normal.ns.${task.key.suffix}`, new Uint8Array([255, 255]), {
    headers: fields,
  });
  let runs = 0;
  await bench.start(() => {
    runs += 1;
  });
  const ended = await bench.ended({ task } as Parameters<typeof bench.ended>[0]);
  expect(ended.head.state).toBe(TaskState.FAILED);
  expect(ended.mutable.error).toMatchObject({ code: "INVALID_PAYLOAD", retryable: false });
  expect(runs).toBe(0);
  await eventually("the queue to be empty", async () => (await bench.count("job")) === 0);
});

test("a message that is no job at all does not stop the queue", async () => {
  await using bench = await openBench(server.url);
  const { connection } = bench.deployment.nats;
  for (let index = 0; index < 20; index += 1) connection.publish(`job.${bench.queue}.normal.ns.garbage${index}`, "?");
  await connection.flush();
  await bench.start(() => "fine", { slots: 2 });
  expect(stateOf(await bench.ended(await bench.submit()))).toBe("SUCCEEDED");
});

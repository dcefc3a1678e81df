import { expect, test } from "vitest";

import { Attempt_Outcome, Priority, TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { attemptError, cancel, claim, retry } from "../../../src/task/lifecycle.ts";
import { taskIdFromKey } from "../../../src/task/task-id.ts";
import { taskFromFresh } from "../../../src/task/task.ts";
import { newToken } from "../../../src/task/write-token.ts";
import type { Worker } from "../../../src/worker/index.ts";
import { type ProjectProcess, startProjectProcess } from "../../support/child-process.ts";
import { eventually } from "../../support/eventually.ts";
import { type Ledger, openLedger } from "../../support/ledger.ts";
import { useNatsServer } from "../../support/nats-server.ts";
import { type Bench, jsonPayload, jsonResultOf, leaseMs, openBench, policy, stateOf } from "./support.ts";

const server = useNatsServer();

/** Starts a worker as a process of its own. */
async function startProcess(bench: Bench, ledger: Ledger, slots = 10): Promise<ProjectProcess> {
  const child = startProjectProcess({
    file: "test/integration/worker/worker-process.ts",
    arguments: [server.url, bench.queue, String(slots)],
    environment: ledger.environment,
  });
  await child.line("worker is ready");
  return child;
}

test("the task of a killed worker is taken over within its lease and 2 s", async () => {
  await using bench = await openBench(server.url);
  await using ledger = await openLedger();
  await using victim = await startProcess(bench, ledger);
  const submission = await bench.submit({ type: "nap", payload: jsonPayload({ ms: 60_000 }) });
  const before = await bench.reached(submission, TaskState.RUNNING);
  await bench.start({ nap: () => "taken over" }, { name: "heir" });
  await victim.kill();
  const killedMs = performance.now();
  const task = await bench.ended(submission);
  expect(performance.now() - killedMs).toBeLessThan(leaseMs + 2_000);
  expect(stateOf(task)).toBe("SUCCEEDED");
  expect(jsonResultOf(task)).toBe("taken over");
  expect(task.mutable.attempts).toMatchObject([
    { number: 1, worker: before.mutable.worker, outcome: Attempt_Outcome.LOST, error: { code: "LEASE_LOST" } },
    { number: 2, worker: "heir", outcome: Attempt_Outcome.SUCCEEDED },
  ]);
  await eventually("the job to be gone", async () => (await bench.count("job")) === 0);
});

test("a worker that was paused beyond its lease cannot overwrite what became of its task", async () => {
  await using bench = await openBench(server.url);
  await using ledger = await openLedger();
  await using paused = await startProcess(bench, ledger);
  const submission = await bench.submit({ type: "nap", payload: jsonPayload({ ms: 1_000 }) });
  await bench.reached(submission, TaskState.RUNNING);
  paused.signal("SIGSTOP");
  await bench.start({ nap: () => "taken over" });
  const ended = await bench.ended(submission);
  expect(jsonResultOf(ended)).toBe("taken over");
  paused.signal("SIGCONT");
  await paused.line("lease lost");
  // It goes on with other tasks, and has not touched this one.
  const next = await bench.submit({ type: "note" });
  await paused.line("attempt ended");
  expect(stateOf(await bench.ended(next))).toBe("SUCCEEDED");
  const task = (await bench.deployment.records.read(submission.task.key))!;
  expect(task.revision).toBe(ended.revision);
});

test("a paused worker neither acknowledges nor gives back what another is running", async () => {
  await using bench = await openBench(server.url);
  await using ledger = await openLedger();
  await using paused = await startProcess(bench, ledger);
  const submission = await bench.submit({ type: "nap", payload: jsonPayload({ ms: 500 }), retryPolicy: policy(5) });
  await bench.reached(submission, TaskState.RUNNING);
  paused.signal("SIGSTOP");
  const { promise, resolve } = Promise.withResolvers<string>();
  await bench.start({ nap: () => promise });
  await eventually(
    "the takeover",
    async () => (await bench.deployment.records.read(submission.task.key))?.head.attempt === 2,
  );
  paused.signal("SIGCONT");
  await paused.line("lease lost");
  const { manager } = bench.deployment.nats;
  const consumer = async () => (await manager.consumers.info(`JOBS_${bench.queue}`, "normal")).num_ack_pending;
  // A task that the paused worker ran to its end proves that all it had to say of the other one has been said.
  const next = await bench.submit({ type: "note" });
  expect(stateOf(await bench.ended(next))).toBe("SUCCEEDED");
  expect(await bench.count("job")).toBe(1);
  expect(await consumer()).toBe(1);
  resolve("finished");
  const task = await bench.ended(submission);
  expect(jsonResultOf(task)).toBe("finished");
  expect(task.head.attempt).toBe(2);
});

test("a job that a paused worker has no slot for is not taken from the worker that runs it meanwhile", async () => {
  await using bench = await openBench(server.url);
  await using ledger = await openLedger();
  await using paused = await startProcess(bench, ledger, 1);
  const nap = await bench.submit({ type: "nap", payload: jsonPayload({ ms: 60_000 }) });
  await bench.reached(nap, TaskState.RUNNING);
  paused.signal("SIGSTOP");
  // Its pull for urgent jobs still stands: this one is delivered to it, unread.
  const urgent = await bench.submit({ type: "urgent", priority: Priority.HIGH });
  const { manager } = bench.deployment.nats;
  const info = async () => manager.consumers.info(`JOBS_${bench.queue}`, "high");
  await eventually("the job to be delivered", async () => (await info()).num_ack_pending === 1);
  const gate = Promise.withResolvers<void>();
  await bench.start({ urgent: () => gate.promise, nap: () => "taken over" });
  await bench.reached(urgent, TaskState.RUNNING);
  await bench.ended(nap);
  paused.signal("SIGCONT");
  await paused.line("lease lost");
  // What it runs now proves that it has dealt with all that it found.
  const note = await bench.submit({ type: "note", priority: Priority.HIGH });
  expect(stateOf(await bench.ended(note))).toBe("SUCCEEDED");
  gate.resolve();
  expect((await bench.ended(urgent)).mutable.attempts).toHaveLength(1);
});

test("a task that kills its worker every time fails after as many attempts as it may have, and takes no other with it", async () => {
  await using bench = await openBench(server.url);
  await using ledger = await openLedger();
  const poison = await bench.submit({ type: "exit", retryPolicy: policy(3) });
  const others = await Promise.all(
    Array.from({ length: 20 }, () => bench.submit({ type: "note", retryPolicy: policy(5) })),
  );
  const supervising = new AbortController();
  const supervise = async () => {
    while (!supervising.signal.aborted) {
      await using child = await startProcess(bench, ledger, 2);
      supervising.signal.addEventListener("abort", () => void child.kill(), { once: true });
      await child.ended;
    }
  };
  const supervised = supervise();
  try {
    const task = await bench.ended(poison, 25_000);
    expect(stateOf(task)).toBe("FAILED");
    expect(task.mutable.error).toMatchObject({ code: "CRASH_LOOP", retryable: false });
    expect(task.head.attempt).toBe(3);
    expect(task.mutable.attempts.map(({ outcome }) => outcome)).toEqual(Array(3).fill(Attempt_Outcome.LOST));
    for (const other of others) expect(stateOf(await bench.ended(other, 25_000))).toBe("SUCCEEDED");
  } finally {
    supervising.abort();
    await supervised.catch(() => undefined);
  }
  const runs = (await ledger.entries()).filter(({ taskId }) => taskId === taskIdFromKey(poison.task.key));
  expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  expect(await bench.count("dead")).toBe(1);
}, 60_000);

test("a worker that died between recording a retry and arranging it is made up for", async () => {
  await using bench = await openBench(server.url);
  const { deployment } = bench;
  const submission = await bench.submit({ retryPolicy: policy(3) });
  const { manager } = deployment.nats;
  const job = await manager.streams.getMessage(`JOBS_${bench.queue}`, {
    last_by_subj: `job.${bench.queue}.normal.ns.${submission.task.key.suffix}`,
  });
  // As by a worker that was delivered the job, failed, recorded that, and died.
  const dead = { worker: "dead", attemptToken: newToken(), jobSequence: job!.seq, jobDelivery: 1, leaseMs };
  const fresh = taskFromFresh(submission.task, submission.job);
  const claimed = await deployment.records.write(claim(fresh, { ...dead, nowMs: Date.now() }), newToken());
  const error = attemptError("HANDLER_ERROR", "broken", true);
  const retryMs = Date.now() + 700;
  await deployment.records.write(retry(claimed, { error, retryMs, nowMs: Date.now() }), newToken());
  await bench.start(() => "made up for");
  await eventually("the delay to be arranged", async () => (await bench.count("delay")) === 1);
  const task = await bench.ended(submission);
  expect(jsonResultOf(task)).toBe("made up for");
  expect(Date.now()).toBeGreaterThanOrEqual(retryMs);
  expect(task.head.attempt).toBe(2);
});

test.each([
  ["lets go of it", (holder: Worker) => eventually("the job to be let go", () => holder.figures().busy === 0)],
  ["stops", (holder: Worker) => holder.stop()],
])(
  "a job whose deliveries are counted anew does not cost a live attempt its task when who holds it %s",
  async (_how, end) => {
    await using bench = await openBench(server.url);
    const { promise, resolve } = Promise.withResolvers<string>();
    await bench.start(() => promise, { name: "runs", slots: 1 });
    const submission = await bench.submit();
    await bench.reached(submission, TaskState.RUNNING);
    await bench.deployment.nats.manager.consumers.delete(`JOBS_${bench.queue}`, "normal");
    // The next worker makes the consumer again, is delivered the job, and holds it until it is sure.
    let takeovers = 0;
    const takeOver = () => {
      takeovers += 1;
    };
    const holder = await bench.start(takeOver);
    await eventually("the job to be held", () => holder.figures().busy === 1);
    await end(holder);
    await bench.start(takeOver);
    const seen = new Set<number>();
    await eventually(
      "heartbeats for longer than a lease",
      async () => {
        seen.add((await bench.deployment.records.read(submission.task.key))!.revision);
        return seen.size > 5;
      },
      { timeoutMs: 3 * leaseMs },
    );
    expect(takeovers).toBe(0);
    resolve("finished");
    const task = await bench.ended(submission);
    expect(task.mutable.attempts).toMatchObject([{ number: 1, worker: "runs", outcome: Attempt_Outcome.SUCCEEDED }]);
    await eventually("the job to be gone", async () => (await bench.count("job")) === 0);
  },
);

test("a job whose deliveries are counted anew is taken over when its attempt is dead", async () => {
  await using bench = await openBench(server.url);
  await using ledger = await openLedger();
  await using victim = await startProcess(bench, ledger);
  const submission = await bench.submit({ type: "nap", payload: jsonPayload({ ms: 60_000 }) });
  await bench.reached(submission, TaskState.RUNNING);
  await victim.kill();
  await bench.deployment.nats.manager.consumers.delete(`JOBS_${bench.queue}`, "normal");
  const startedMs = performance.now();
  await bench.start({ nap: () => "taken over" });
  expect(jsonResultOf(await bench.ended(submission))).toBe("taken over");
  expect(performance.now() - startedMs).toBeLessThan(leaseMs + 2_000);
});

test("a job that has nothing left to say is dropped", async () => {
  await using bench = await openBench(server.url);
  const submission = await bench.submit();
  const fresh = taskFromFresh(submission.task, submission.job);
  await bench.deployment.records.write(cancel(fresh, { writer: "api", nowMs: Date.now() }), newToken());
  let runs = 0;
  await bench.start(() => {
    runs += 1;
  });
  await eventually("the job to be gone", async () => (await bench.count("job")) === 0);
  expect(runs).toBe(0);
});

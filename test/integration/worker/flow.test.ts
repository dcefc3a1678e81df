import { setTimeout as sleep } from "node:timers/promises";

import { fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";

import { WorkerSchema } from "../../../src/gen/taskwatch/v1/queue_service_pb.ts";
import { Priority, TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { createWorker, type WorkerObserver } from "../../../src/worker/index.ts";
import { startProjectProcess } from "../../support/child-process.ts";
import { eventually } from "../../support/eventually.ts";
import { openLedger } from "../../support/ledger.ts";
import { startNatsServer, useNatsServer } from "../../support/nats-server.ts";
import { createRecordingLogger } from "../../support/recording-logger.ts";
import { jsonPayload, jsonResultOf, openBench, policy, stateOf } from "./support.ts";

const server = useNatsServer();

/** Keeps what it is told, as `name {facts}`. */
function recordingObserver(): { readonly observer: WorkerObserver; readonly events: [string, unknown][] } {
  const events: [string, unknown][] = [];
  const observer = new Proxy({} as WorkerObserver, {
    get: (_target, name) => (event: unknown) => void events.push([String(name), event]),
  });
  return { observer, events };
}

test("2,000 tasks are run exactly once each by two workers", async () => {
  await using bench = await openBench(server.url);
  await using ledger = await openLedger();
  const count = 2_000;
  const start = () =>
    startProjectProcess({
      file: "test/integration/worker/worker-process.ts",
      arguments: [server.url, bench.queue, "50"],
      environment: ledger.environment,
    });
  await using first = start();
  await using second = start();
  await Promise.all([first, second].map((child) => child.line("worker is ready")));
  const submissions = await Promise.all(Array.from({ length: count }, () => bench.submit({ type: "note" })));
  await eventually("all to be done", async () => (await bench.count("job")) === 0, { timeoutMs: 20_000 });
  for (const submission of submissions) {
    const task = await bench.deployment.records.read(submission.task.key);
    expect(task?.head.state).toBe(TaskState.SUCCEEDED);
  }
  const entries = await ledger.entries();
  expect(entries).toHaveLength(count);
  expect(new Set(entries.map(({ taskId }) => taskId)).size).toBe(count);
  expect(new Set(entries.map(({ pid }) => pid)), "both had their share").toEqual(new Set([first.pid, second.pid]));
});

test("a worker never runs more tasks than it has slots", async () => {
  await using bench = await openBench(server.url);
  const priorities = [Priority.HIGH, Priority.NORMAL, Priority.LOW];
  const submissions = await Promise.all(
    Array.from({ length: 60 }, (_, index) => bench.submit({ priority: priorities[index % 3]! })),
  );
  let running = 0;
  let most = 0;
  await bench.start(
    async () => {
      running += 1;
      most = Math.max(most, running);
      await sleep(5);
      running -= 1;
    },
    { slots: 4 },
  );
  for (const submission of submissions) expect(stateOf(await bench.ended(submission))).toBe("SUCCEEDED");
  expect(most).toBe(4);
});

test("high goes before normal, and normal before low", async () => {
  await using bench = await openBench(server.url);
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  await bench.start(
    async ({ labels }) => {
      await gate.promise;
      order.push(labels["priority"] ?? "first");
    },
    { slots: 1 },
  );
  const first = await bench.submit();
  await bench.reached(first, TaskState.RUNNING);
  const named = { low: Priority.LOW, normal: Priority.NORMAL, high: Priority.HIGH };
  const submissions = [];
  for (const [name, priority] of Object.entries(named)) {
    for (let index = 0; index < 5; index += 1) {
      submissions.push(await bench.submit({ priority, labels: { priority: name } }));
    }
  }
  gate.resolve();
  for (const submission of submissions) await bench.ended(submission);
  const meanPosition = (name: string) => {
    const positions = order.flatMap((one, index) => (one === name ? [index] : []));
    return positions.reduce((sum, one) => sum + one, 0) / positions.length;
  };
  // While nothing is known of any, all three are asked, and one of each may come. From then on the order holds.
  expect(order.slice(0, 8).filter((name) => name === "high")).toHaveLength(5);
  expect(meanPosition("normal")).toBeLessThan(meanPosition("low"));
});

test("a lower priority is not kept waiting for jobs that others have taken", async () => {
  await using bench = await openBench(server.url);
  const high = await Promise.all(Array.from({ length: 3 }, () => bench.submit({ priority: Priority.HIGH })));
  // The first worker sees two of three and knows of one more, which the second one takes.
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let begun = 0;
  await bench.start(() => gates[begun++]?.promise, { slots: 2 });
  await eventually("the first to be busy", () => begun === 2);
  const last = Promise.withResolvers<void>();
  await bench.start(() => last.promise, { slots: 1 });
  for (const submission of high) await bench.reached(submission, TaskState.RUNNING);
  // What both had asked for before they were busy is used up by these.
  const low = await Promise.all(Array.from({ length: 10 }, () => bench.submit({ priority: Priority.LOW })));
  await eventually("all of them to be given back", async () => {
    const info = await bench.deployment.nats.manager.consumers.info(`JOBS_${bench.queue}`, "low");
    return info.num_waiting === 0;
  });
  gates[0]?.resolve();
  const ended = await Promise.all(low.map((submission) => bench.ended(submission, 2_000)));
  expect(ended.map(stateOf)).toEqual(Array(10).fill("SUCCEEDED"));
  gates[1]?.resolve();
  last.resolve();
});

test("a task of a type that a worker does not know is left for one that does", async () => {
  await using bench = await openBench(server.url);
  const logger = createRecordingLogger();
  const worker = await bench.start({ known: () => "known" }, { logger });
  const stranger = await bench.submit({ type: "stranger" });
  await bench.submit({ type: "stranger" });
  const noted = () => logger.lines.filter(({ message }) => message === "no handler for tasks of this type");
  await eventually("the type to be noted", () => noted().length > 0);
  expect(stateOf(await bench.ended(await bench.submit({ type: "known" })))).toBe("SUCCEEDED");
  expect(await bench.deployment.records.read(stranger.task.key), "no attempt was counted").toBeUndefined();
  await bench.start({ stranger: () => "taken in" });
  // While both are there, it may take several turns.
  await worker.drain();
  const task = await bench.ended(stranger);
  expect(jsonResultOf(task)).toBe("taken in");
  expect(task.mutable.attempts).toHaveLength(1);
  expect(noted()).toHaveLength(1);
});

test("progress is shown at once, a few times a second, and at the end", async () => {
  await using bench = await openBench(server.url);
  const rounds = 20;
  await bench.start(async ({ progress }) => {
    for (let round = 1; round <= rounds; round += 1) {
      for (let call = 0; call < 500; call += 1) progress({ done: round, total: rounds, unit: "rounds" });
      await sleep(50);
    }
    progress({ message: "done" });
  });
  const { connection } = bench.deployment.nats;
  const submission = await bench.submit();
  const startedMs = performance.now();
  const task = await bench.ended(submission);
  const elapsedMs = performance.now() - startedMs;
  await connection.flush();
  const { mutable, head } = task;
  expect(mutable.progress).toMatchObject({ done: rounds, total: rounds, unit: "rounds", message: "done", fraction: 1 });
  // QUEUED is 2, RUNNING 3, SUCCEEDED the last: all between were reports.
  const reports = head.change - 4;
  expect(reports).toBeGreaterThanOrEqual(3);
  expect(reports).toBeLessThanOrEqual(Math.ceil(elapsedMs / 200) + 1);
});

test("everything that was accepted ends when nats-server is killed and comes back", async () => {
  await using own = await startNatsServer();
  await using bench = await openBench(own.url);
  await bench.start(({ payload }) => sleep(Number(payload)), { slots: 20 });
  await bench.start(({ payload }) => sleep(Number(payload)), { slots: 20 });
  const submissions = await Promise.all(
    Array.from({ length: 200 }, (_, index) => bench.submit({ payload: jsonPayload(10 + (index % 7) * 50) })),
  );
  await eventually("some to be done", async () => (await bench.count("job")) < 150);
  await own.kill();
  await own.restart();
  for (const submission of submissions) expect(stateOf(await bench.ended(submission, 25_000))).toBe("SUCCEEDED");
  await eventually("the queue to be tidy", async () => (await bench.count("job")) === 0, { timeoutMs: 10_000 });
}, 60_000);

test("a worker that cannot confirm its lease tells its handlers, and is not healthy", async () => {
  await using own = await startNatsServer();
  await using bench = await openBench(own.url);
  const begun = Promise.withResolvers<void>();
  const told = Promise.withResolvers<string>();
  const worker = await bench.start(async ({ attempt, signal }) => {
    if (attempt > 1) return "again";
    begun.resolve();
    return new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => {
        told.resolve((signal.reason as { why: string }).why);
        reject(new Error("stopped"));
      });
    });
  });
  expect(worker.healthy()).toBe(true);
  const submission = await bench.submit({ retryPolicy: policy(3) });
  await begun.promise;
  await own.kill();
  expect(await told.promise).toBe("lease_lost");
  expect(worker.healthy()).toBe(false);
  await own.restart();
  const task = await bench.ended(submission, 25_000);
  expect(stateOf(task)).toBe("SUCCEEDED");
  expect(task.mutable.attempts[0]?.error?.code).toBe("LEASE_LOST");
  await eventually("the worker to be healthy again", () => worker.healthy());
}, 60_000);

test("a queue whose consumers were removed is made again", async () => {
  await using bench = await openBench(server.url);
  const worker = await bench.start(() => "fine");
  const { manager } = bench.deployment.nats;
  for (const priority of ["high", "normal", "low"]) await manager.consumers.delete(`JOBS_${bench.queue}`, priority);
  expect(stateOf(await bench.ended(await bench.submit(), 20_000))).toBe("SUCCEEDED");
  expect(worker.healthy()).toBe(true);
});

test("a worker is present from its start to its end", async () => {
  await using bench = await openBench(server.url);
  const worker = await bench.start(() => "fine", { slots: 3, version: "1.2.3" });
  const { manager } = bench.deployment.nats;
  const present = () =>
    manager.streams
      .getMessage("KV_TASKWATCH_META", { last_by_subj: `$KV.TASKWATCH_META.worker.${worker.name}` })
      .catch(() => null);
  const message = await eventually("the worker to be present", async () => (await present()) ?? undefined);
  expect(fromBinary(WorkerSchema, message.data)).toMatchObject({
    name: worker.name,
    queue: bench.queue,
    types: ["t"],
    slots: 3,
    busy: 0,
    version: "1.2.3",
  });
  expect(message.header.get("Nats-TTL")).toBe("30s");
  const heartbeatMs = await eventually("the worker to know that it is", () => worker.figures().heartbeatMs);
  expect(Math.abs(Date.now() - heartbeatMs)).toBeLessThan(10_000);
  await worker.stop();
  expect(await present()).toBeNull();
});

test("start and stop may be called again and again, in any order", async () => {
  await using bench = await openBench(server.url);
  const worker = await bench.start(() => "fine");
  await Promise.all([worker.start(), worker.start()]);
  expect(worker.state).toBe("running");
  await Promise.all([worker.stop(), worker.drain(), worker.stop()]);
  expect(worker.state).toBe("stopped");
  expect(worker.healthy()).toBe(false);
  await expect(worker.start()).rejects.toThrow("worker has been stopped");
});

test("a worker that cannot reach NATS says so, and can be stopped", async () => {
  await using bench = await openBench(server.url);
  const started = bench.start(() => "fine", { nats: "nats://127.0.0.1:1" });
  await expect(started).rejects.toThrow("cannot connect to NATS at nats://127.0.0.1:1");
});

test("what becomes of tasks is told once", async () => {
  await using bench = await openBench(server.url);
  const { observer, events } = recordingObserver();
  const worker = await bench.start(
    ({ attempt }) => {
      if (attempt === 1) throw new Error("not yet");
    },
    { observer },
  );
  const submission = await bench.submit({ retryPolicy: policy(2) });
  await bench.ended(submission);
  await worker.drain();
  const labels = { queue: bench.queue, type: "t" };
  expect(events).toEqual([
    ["typesServed", { queue: bench.queue, types: ["t"] }],
    ["attemptStarted", { ...labels, waitSeconds: expect.any(Number) as number }],
    ["attemptEnded", { ...labels, outcome: "failed", runSeconds: expect.any(Number) as number }],
    ["taskRetried", { ...labels, code: "HANDLER_ERROR" }],
    ["attemptStarted", { ...labels, waitSeconds: expect.any(Number) as number }],
    ["attemptEnded", { ...labels, outcome: "succeeded", runSeconds: expect.any(Number) as number }],
    ["taskCompleted", { ...labels, outcome: "succeeded", totalSeconds: expect.any(Number) as number }],
  ]);
});

test("a worker stops in bounded time also when NATS does not answer", async () => {
  await using own = await startNatsServer();
  const worker = createWorker({ nats: own.url, queue: "q", handlers: { t: () => {} }, settleTimeoutMs: 100 });
  await worker.start();
  process.kill(own.pid, "SIGSTOP");
  try {
    await worker.stop();
    expect(worker.state).toBe("stopped");
  } finally {
    process.kill(own.pid, "SIGCONT");
  }
}, 20_000);

import { expect, test } from "vitest";

import { createTaskwatchClient } from "../../src/client/index.ts";
import { eventually } from "../support/eventually.ts";
import { openLedger } from "../support/ledger.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { startService, startWorkerProcess } from "../support/service.ts";

const leaseMs = 3_000;

test("a worker is killed in the middle of a task: another takes over within the lease and two seconds, and it is all in the status", async () => {
  await using server = await startNatsServer();
  await using ledger = await openLedger();
  await using service = await startService(server.url, {
    environment: { TASKWATCH_LEASE_SECONDS: String(leaseMs / 1_000) },
  });
  await using client = createTaskwatchClient({ address: service.grpcAddress });
  const { taskId } = await client.submit({ queue: "mortal", type: "nap", payload: { ms: 2_000 } });
  const serving = { handlers: "test/support/handlers/ledger.ts", queue: "mortal", environment: ledger.environment };
  await using victim = await startWorkerProcess(server.url, serving);
  await eventually("the task to run", async () => (await ledger.entries()).length === 1);
  await using _heir = await startWorkerProcess(server.url, serving);

  const killedMs = performance.now();
  await victim.kill("SIGKILL");
  await eventually("the second attempt", async () => (await ledger.entries()).length === 2, { timeoutMs: 20_000 });
  const takenOverAfterMs = performance.now() - killedMs;
  expect(takenOverAfterMs).toBeLessThan(leaseMs + 2_000);

  const status = await client.wait(taskId);
  expect(status).toMatchObject({ state: "SUCCEEDED", attempt: 2, result: { slept: 2_000 } });
  expect(status.attempts).toMatchObject([
    { number: 1, outcome: "LOST", error: { code: "LEASE_LOST" } },
    { number: 2, outcome: "SUCCEEDED" },
  ]);
});

test("a handler that ends its process is not run for ever, and its worker's other tasks survive", async () => {
  await using server = await startNatsServer();
  await using ledger = await openLedger();
  await using service = await startService(server.url, { environment: { TASKWATCH_LEASE_SECONDS: "2" } });
  await using client = createTaskwatchClient({ address: service.grpcAddress });
  const serving = { handlers: "test/support/handlers/ledger.ts", queue: "fragile", environment: ledger.environment };
  const submits = Array.from({ length: 5 }, () =>
    client.submit({ queue: "fragile", type: "nap", payload: { ms: 500 }, retry: { maxAttempts: 10 } }),
  );
  const poison = await client.submit({ queue: "fragile", type: "exit", retry: { maxAttempts: 2 } });
  const others = await Promise.all(submits);

  const stop = new AbortController();
  const supervisor = (async () => {
    while (!stop.signal.aborted) {
      await using worker = await startWorkerProcess(server.url, serving);
      const onStop = () => worker.signal("SIGKILL");
      stop.signal.addEventListener("abort", onStop);
      await worker.ended;
      stop.signal.removeEventListener("abort", onStop);
    }
  })();
  const end = await client.wait(poison.taskId, { timeoutMs: 60_000 });
  const statuses = await Promise.all(others.map(({ taskId }) => client.wait(taskId, { timeoutMs: 60_000 })));
  stop.abort();
  await supervisor;

  expect(end).toMatchObject({ state: "FAILED", attempt: 2, error: { code: "CRASH_LOOP" } });
  expect((await ledger.entries()).filter(({ taskId }) => taskId === poison.taskId)).toHaveLength(2);
  expect(statuses.map(({ state }) => state)).toEqual(statuses.map(() => "SUCCEEDED"));
});

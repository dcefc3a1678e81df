import { setTimeout as sleep } from "node:timers/promises";

import { expect, test } from "vitest";

import { createTaskwatchClient, type TaskStatus, TaskwatchError } from "../../src/client/index.ts";
import { eventually } from "../support/eventually.ts";
import { openLedger } from "../support/ledger.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { startService, startWorkerProcess } from "../support/service.ts";

const watches = 200;
const submitsPerSecond = 50;

/** What a client may be told while the store is away: that it is, or that nothing is known. Never that something failed. */
const honest: ReadonlySet<string> = new Set(["UNAVAILABLE", "DEADLINE_EXCEEDED"]);

test("nats-server is killed and restarted under 200 watches and 50 submits a second: nothing is lost, nothing lied about", async () => {
  await using server = await startNatsServer();
  await using ledger = await openLedger();
  await using service = await startService(server.url);
  const serving = { handlers: "test/support/handlers/ledger.ts", queue: "busy", slots: 100 };
  await using _worker = await startWorkerProcess(server.url, { ...serving, environment: ledger.environment });
  await using client = createTaskwatchClient({ address: service.grpcAddress });

  const openings = Array.from({ length: watches }, async () => {
    const { taskId } = await client.submit({ queue: "busy", type: "nap", payload: { ms: 6_000 } });
    return taskId;
  });
  const napping = await Promise.all(openings);
  let open = 0;
  const ends = napping.map(async (taskId) => {
    const states: string[] = [];
    let revision = 0;
    for await (const event of client.watch(taskId)) {
      if (event.kind !== "status") continue;
      if (states.length === 0) open += 1;
      expect(event.status.revision).toBeGreaterThanOrEqual(revision);
      revision = event.status.revision;
      states.push(event.status.state);
    }
    return states.at(-1);
  });
  await eventually("all watches to be open", () => open === watches, { timeoutMs: 20_000 });

  const accepted: string[] = [];
  const errors: unknown[] = [];
  const stop = new AbortController();
  const submitting = (async () => {
    const underWay: Promise<void>[] = [];
    while (!stop.signal.aborted) {
      const submit = client.submit({ queue: "busy", type: "note" });
      underWay.push(submit.then(({ taskId }) => void accepted.push(taskId)).catch((error) => void errors.push(error)));
      await sleep(1_000 / submitsPerSecond);
    }
    await Promise.all(underWay);
  })();

  for (let round = 1; round <= 2; round += 1) {
    const before = accepted.length;
    await eventually("submits to be accepted", () => accepted.length >= before + 50, { timeoutMs: 30_000 });
    await server.kill("SIGKILL");
    await server.restart();
  }
  const before = accepted.length;
  await eventually("submits to be accepted again", () => accepted.length >= before + 50, { timeoutMs: 30_000 });
  stop.abort();
  await submitting;

  expect(errors.filter((error) => !(error instanceof TaskwatchError && honest.has(error.code)))).toEqual([]);
  const statuses: TaskStatus[] = await Promise.all(accepted.map((taskId) => client.wait(taskId)));
  expect(statuses.filter(({ state }) => state !== "SUCCEEDED")).toEqual([]);
  expect(new Set(await Promise.all(ends))).toEqual(new Set(["SUCCEEDED"]));
  const ran = new Set((await ledger.entries()).map(({ taskId }) => taskId));
  expect(accepted.filter((taskId) => !ran.has(taskId))).toEqual([]);
});

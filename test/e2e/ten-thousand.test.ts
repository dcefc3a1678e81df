import { expect, test } from "vitest";

import { createTaskwatchClient } from "../../src/client/index.ts";
import { openLedger } from "../support/ledger.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { startService, startWorkerProcess } from "../support/service.ts";

const count = 10_000;
const watched = 1_000;

test("ten thousand tasks: all succeed, each runs exactly once, none is ever unknown, every watcher sees its end", async () => {
  await using server = await startNatsServer();
  await using ledger = await openLedger();
  await using service = await startService(server.url);
  const serving = { handlers: "test/support/handlers/ledger.ts", queue: "bulk", slots: 50 };
  await using _first = await startWorkerProcess(server.url, { ...serving, environment: ledger.environment });
  await using _second = await startWorkerProcess(server.url, { ...serving, environment: ledger.environment });
  await using client = createTaskwatchClient({ address: service.grpcAddress, timeoutMs: 60_000 });

  const readBack: Promise<unknown>[] = [];
  const ends: Promise<string>[] = [];
  const submits = Array.from({ length: count }, async (_, index) => {
    const { taskId, resumeToken } = await client.submit({ queue: "bulk", type: "note", payload: { index } });
    if (index % 10 === 0) readBack.push(client.get(taskId));
    if (ends.length < watched) ends.push(endOf(taskId, resumeToken));
    return taskId;
  });
  const endOf = async (taskId: string, resumeToken: string): Promise<string> => {
    let last = "nothing";
    for await (const event of client.watch(taskId, { resumeToken })) {
      if (event.kind === "status") last = event.status.state;
    }
    return last;
  };

  const taskIds = await Promise.all(submits);
  await Promise.all(readBack);
  const statuses = await Promise.all(taskIds.map((taskId) => client.wait(taskId)));
  expect(new Set(taskIds).size).toBe(count);
  expect(statuses.filter(({ state }) => state !== "SUCCEEDED")).toEqual([]);
  expect(new Set(await Promise.all(ends))).toEqual(new Set(["SUCCEEDED"]));
  expect(ends).toHaveLength(watched);

  const entries = await ledger.entries();
  expect(entries).toHaveLength(count);
  expect(new Set(entries.map(({ taskId }) => taskId))).toEqual(new Set(taskIds));
});

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

  const endOf = async (taskId: string, resumeToken: string): Promise<string> => {
    let last = "nothing";
    for await (const event of client.watch(taskId, { resumeToken })) {
      if (event.kind === "status") last = event.status.state;
    }
    return last;
  };
  const submits = Array.from({ length: count }, async (_, index) => {
    const { taskId, resumeToken } = await client.submit({ queue: "bulk", type: "note", payload: { index } });
    const isReadBack = index % 10 === 0;
    const isWatched = index % (count / watched) === 1;
    const [end] = await Promise.all([
      isWatched ? endOf(taskId, resumeToken) : undefined,
      isReadBack ? client.get(taskId) : undefined,
    ]);
    return { taskId, end };
  });

  const submitted = await Promise.all(submits);
  const taskIds = submitted.map(({ taskId }) => taskId);
  const statuses = await Promise.all(taskIds.map((taskId) => client.wait(taskId)));
  expect(new Set(taskIds).size).toBe(count);
  expect(statuses.filter(({ state }) => state !== "SUCCEEDED")).toEqual([]);
  const ends = submitted.flatMap(({ end }) => end ?? []);
  expect(ends).toHaveLength(watched);
  expect(new Set(ends)).toEqual(new Set(["SUCCEEDED"]));

  const entries = await ledger.entries();
  expect(entries).toHaveLength(count);
  expect(new Set(entries.map(({ taskId }) => taskId))).toEqual(new Set(taskIds));
});

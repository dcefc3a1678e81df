import { expect, test } from "vitest";

import { createTaskwatchClient, type TaskwatchClient, TaskwatchError } from "../../src/client/index.ts";
import { openLedger } from "../support/ledger.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { startService, startWorkerProcess } from "../support/service.ts";

const submission = { queue: "once", type: "note", payload: { order: 7 }, requestId: "order-7" };

async function refusal(client: TaskwatchClient, changes: object): Promise<TaskwatchError> {
  const outcome = await client.submit({ ...submission, ...changes }).catch((error: unknown) => error);
  if (outcome instanceof TaskwatchError) return outcome;
  throw new Error("it was not refused", { cause: outcome });
}

test("one request_id is one task: at once, over a restart of the API, and after the task has ended", async () => {
  await using server = await startNatsServer();
  await using ledger = await openLedger();
  const service = await startService(server.url);
  await using client = createTaskwatchClient({ address: service.grpcAddress });
  const first = await client.submit(submission);
  expect(first.duplicate).toBe(false);

  const again = await Promise.all(Array.from({ length: 20 }, () => client.submit(submission)));
  expect(new Set(again.map(({ taskId, duplicate }) => `${taskId} ${duplicate}`))).toEqual(
    new Set([`${first.taskId} true`]),
  );

  await service.process.kill("SIGKILL");
  await using restarted = await startService(server.url, { like: service });
  expect(restarted.grpcAddress).toBe(service.grpcAddress);
  expect(await client.submit(submission)).toMatchObject({ taskId: first.taskId, duplicate: true });

  const other = await refusal(client, { payload: { order: 8 } });
  expect(other).toMatchObject({ code: "ALREADY_EXISTS", reason: "REQUEST_ID_REUSED" });
  expect(other.metadata).toMatchObject({ task_id: first.taskId });
  for (const changes of [{ priority: "HIGH" }, { delayMs: 60_000 }, { labels: { a: "b" } }, { type: "nap" }]) {
    expect((await refusal(client, changes)).reason).toBe("REQUEST_ID_REUSED");
  }

  const serving = { handlers: "test/support/handlers/ledger.ts", queue: "once", environment: ledger.environment };
  await using _worker = await startWorkerProcess(server.url, serving);
  expect((await client.wait(first.taskId)).state).toBe("SUCCEEDED");
  const late = await client.submit(submission);
  expect(late).toMatchObject({ taskId: first.taskId, duplicate: true, status: { state: "SUCCEEDED" } });
  expect((await refusal(client, { payload: null })).reason).toBe("REQUEST_ID_REUSED");
  expect(await ledger.entries()).toHaveLength(1);
});

import { describe, expect, test } from "vitest";

import { GoingAwayEvent_Reason, TaskService } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { answerOf, errorOf, rpcClients, type RpcClient } from "../../support/rpc-clients.ts";
import { type RpcListeners, startRpcListeners } from "../../support/rpc-listeners.ts";
import { scriptedTaskId, snapshotFrom } from "../../support/scripted-operations.ts";

const taskId = scriptedTaskId(1);
const drain = ({ grpcServer, httpServer }: RpcListeners, graceMs: number) =>
  Promise.all([grpcServer.drain(graceMs), httpServer.drain(graceMs)]);

/** A call that is under way until it is told to go on. */
async function callUnderWay(listeners: RpcListeners, client: RpcClient) {
  const entered = Promise.withResolvers<undefined>();
  const proceed = Promise.withResolvers<undefined>();
  listeners.operations.put(snapshotFrom({ taskId }));
  listeners.operations.before = async () => {
    entered.resolve(undefined);
    await proceed.promise;
  };
  const outcome = client.unary(TaskService.method.getStatus, { taskId });
  await entered.promise;
  return { outcome, proceed: () => proceed.resolve(undefined) };
}

describe.each(Object.entries(rpcClients))("draining under a call by %s", (_name, makeClient) => {
  test("lets it finish, takes no new ones, and ends as soon as it has", async () => {
    await using listeners = await startRpcListeners();
    const client = makeClient(listeners);
    const { outcome, proceed } = await callUnderWay(listeners, client);
    const drained = drain(listeners, 60_000);
    const refused = errorOf(
      await client
        .unary(TaskService.method.getStatus, { taskId }, { timeoutMs: 2_000 })
        // What fetch throws when nobody listens.
        .catch(() => ({ error: { code: "Unavailable", message: "", details: [] } })),
    );
    expect(refused.code).toBe("Unavailable");
    proceed();
    expect(answerOf(await outcome)).toMatchObject({ status: { taskId } });
    await drained;
    client.close();
  });

  test("cuts it when its time is over", async () => {
    await using listeners = await startRpcListeners();
    const client = makeClient(listeners);
    const { outcome } = await callUnderWay(listeners, client);
    const failed = outcome.then(
      (result) => "error" in result,
      () => true,
    );
    await drain(listeners, 100);
    expect(await failed).toBe(true);
    expect(listeners.operations.seen.at(-1)?.signal.aborted).toBe(true);
    client.close();
  });
});

describe.each(Object.entries(rpcClients).filter(([name]) => /grpc-js|binary|Web/.test(name)))(
  "draining under a watch by %s",
  (_name, makeClient) => {
    test("brings it what is due, the going-away included, and its proper end", async () => {
      await using listeners = await startRpcListeners();
      const client = makeClient(listeners);
      const messages = client.watch({ taskIds: [taskId] });
      const first = messages.next();
      const watch = await eventually("the watch to open", () => listeners.operations.watches[0]);
      const drained = drain(listeners, 60_000);
      watch.push({ kind: "status", status: snapshotFrom({ taskId }), snapshot: true, merged: 0, resumeToken: "s" });
      watch.push({ kind: "going_away", reason: GoingAwayEvent_Reason.DRAIN, resumeDelayMs: 1, resumeToken: "g" });
      watch.finish("ok");
      expect((await first).value).toMatchObject({ resumeToken: "s" });
      expect((await messages.next()).value).toMatchObject({ resumeToken: "g", event: { case: "goingAway" } });
      expect((await messages.next()).done).toBe(true);
      await drained;
      client.close();
    });
  },
);

test("draining what is idle takes no time, and may be asked for twice", async () => {
  await using listeners = await startRpcListeners();
  const clients = Object.values(rpcClients).map((makeClient) => makeClient(listeners));
  listeners.operations.put(snapshotFrom({ taskId }));
  for (const client of clients) answerOf(await client.unary(TaskService.method.getStatus, { taskId }));
  const startedMs = performance.now();
  await Promise.all([drain(listeners, 60_000), drain(listeners, 60_000)]);
  expect(performance.now() - startedMs).toBeLessThan(5_000);
  for (const client of clients) client.close();
});

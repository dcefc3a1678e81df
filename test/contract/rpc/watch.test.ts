import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { GoingAwayEvent_Reason, RemovedEvent_Reason } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import type { WatchEvent } from "../../../src/operations/operations.ts";
import { TaskError } from "../../../src/task/errors.ts";
import { eventually } from "../../support/eventually.ts";
import { rpcClients, type RpcCallOptions, type RpcClient, WatchError } from "../../support/rpc-clients.ts";
import { type RpcListeners, startRpcListeners } from "../../support/rpc-listeners.ts";
import { scriptedTaskId, type ScriptedWatch, snapshotFrom } from "../../support/scripted-operations.ts";

const taskId = scriptedTaskId(1);
const statusEvent = (revision: number, changes: { snapshot?: boolean; merged?: number } = {}): WatchEvent => ({
  kind: "status",
  status: snapshotFrom({ taskId }, revision),
  snapshot: false,
  merged: 0,
  resumeToken: `token-${revision}`,
  ...changes,
});

const streaming = ["grpc-js", "Connect, binary", "gRPC-Web"];
const clients = Object.entries(rpcClients).filter(([name]) => streaming.includes(name));

describe.each(clients)("a watch by %s", (_name, makeClient) => {
  let listeners: RpcListeners;
  let client: RpcClient;

  beforeAll(async () => {
    listeners = await startRpcListeners({ maxWatchesPerPrincipal: 3 });
    client = makeClient(listeners);
  });
  afterAll(async () => {
    client.close();
    await listeners[Symbol.asyncDispose]();
  });

  const open = async (options: RpcCallOptions = {}) => {
    const before = listeners.operations.watches.length;
    const messages = client.watch({ taskIds: [taskId] }, options);
    const first = messages.next();
    // It may fail before anybody awaits it.
    first.catch(() => {});
    const watch = await eventually<ScriptedWatch | undefined>("the watch to open", () => {
      return listeners.operations.watches[before];
    });
    let waiting: typeof first | undefined = first;
    const next = () => {
      const result = waiting ?? messages.next();
      waiting = undefined;
      return result;
    };
    return { watch, next };
  };
  const errorOfNext = async (next: () => Promise<unknown>) => {
    const thrown = await next().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(thrown).toBeInstanceOf(WatchError);
    return (thrown as WatchError).error;
  };

  test("brings every kind of event, in order, and then ends", async () => {
    const { watch, next } = await open();
    watch.push(
      statusEvent(1, { snapshot: true }),
      { kind: "bookmark", revision: 2 ** 35, resumeToken: "b" },
      statusEvent(2, { merged: 3 }),
      { kind: "removed", taskId, reason: RemovedEvent_Reason.EXPIRED, resumeToken: "r" },
      { kind: "going_away", reason: GoingAwayEvent_Reason.DRAIN, resumeDelayMs: 250, resumeToken: "g" },
    );
    watch.finish("ok");
    const results = [await next(), await next(), await next(), await next(), await next()];
    expect(results.map(({ value }) => [value?.resumeToken, value?.event])).toMatchObject([
      ["token-1", { case: "status", value: { snapshot: true, merged: 0, status: { taskId, revision: 1n } } }],
      ["b", { case: "bookmark", value: { revision: 2n ** 35n } }],
      ["token-2", { case: "status", value: { snapshot: false, merged: 3, status: { taskId, revision: 2n } } }],
      ["r", { case: "removed", value: { taskId, reason: RemovedEvent_Reason.EXPIRED } }],
      ["g", { case: "goingAway", value: { reason: GoingAwayEvent_Reason.DRAIN, resumeDelay: { nanos: 250_000_000 } } }],
    ]);
    expect((await next()).done).toBe(true);
    expect(watch.closed).toBe(true);
    expect(listeners.observer.watchEnds.at(-1)).toBe("going_away");
    expect(listeners.observer.messages).toMatchObject({
      snapshot: 1,
      bookmark: 1,
      status: 1,
      removed: 1,
      going_away: 1,
    });
    expect(listeners.observer.merged).toBe(3);
  });

  test("brings what happens later, at once", async () => {
    const { watch, next } = await open();
    for (const revision of [1, 2, 3]) {
      watch.push(statusEvent(revision));
      expect((await next()).value?.resumeToken).toBe(`token-${revision}`);
    }
    watch.finish("ok");
    expect((await next()).done).toBe(true);
    expect(listeners.observer.watchEnds.at(-1)).toBe("completed");
  });

  test("ends with the error of the operation, its details, and nothing lost before it", async () => {
    const { watch, next } = await open();
    watch.push(statusEvent(1));
    watch.finish(new TaskError("STORE_REPLACED", "the store is another one"));
    expect((await next()).value?.resumeToken).toBe("token-1");
    expect(await errorOfNext(next)).toEqual({
      code: "DataLoss",
      message: "the store is another one",
      details: [{ type: "google.rpc.ErrorInfo", reason: "STORE_REPLACED", domain: "taskwatch.dev" }],
    });
    expect(listeners.observer.watchEnds.at(-1)).toBe("store_replaced");
  });

  test("that cannot be opened fails with details", async () => {
    listeners.operations.before = () => {
      throw new TaskError("TASK_NOT_FOUND", "task not found");
    };
    const error = await errorOfNext(() => client.watch({ taskIds: [taskId] }).next());
    listeners.operations.before = () => {};
    expect(error).toMatchObject({ code: "NotFound", details: [{ reason: "TASK_NOT_FOUND" }] });
  });

  test.each([
    ["nothing", {}, "InvalidArgument", ["task_ids"]],
    ["a selector beside tasks", { taskIds: [taskId], selector: {} }, "InvalidArgument", ["selector"]],
    [
      "a token that is too long",
      { taskIds: [taskId], resumeToken: "x".repeat(4_097) },
      "InvalidArgument",
      ["resume_token"],
    ],
    ["a selector", { selector: { queues: ["demo"] } }, "Unimplemented", []],
  ])("of %s is refused", async (_what, request, code, fields) => {
    const error = await errorOfNext(() => client.watch(request).next());
    expect(error.code).toBe(code);
    const violations = (error.details[1]?.["fieldViolations"] ?? []) as { field: string }[];
    expect(violations.map(({ field }) => field)).toEqual(fields);
  });

  test("is released at once when its client goes away", async () => {
    const gone = new AbortController();
    const { watch, next } = await open({ signal: gone.signal });
    watch.push(statusEvent(1));
    await next();
    gone.abort();
    await eventually("the watch to be closed", () => watch.closed);
    expect(listeners.observer.watchEnds.at(-1)).toBe("client_gone");
  });

  test("is released when its client goes away while it opens", async () => {
    const entered = Promise.withResolvers<undefined>();
    const proceed = Promise.withResolvers<undefined>();
    listeners.operations.before = async () => {
      entered.resolve(undefined);
      await proceed.promise;
    };
    const before = listeners.operations.watches.length;
    const gone = new AbortController();
    const failed = errorOfNext(() => client.watch({ taskIds: [taskId] }, { signal: gone.signal }).next());
    await entered.promise;
    const { handled } = listeners.observer;
    const handledBefore = handled.length;
    gone.abort();
    await eventually("the call to end", () => handled.length > handledBefore);
    proceed.resolve(undefined);
    expect((await failed).code).toBe("Canceled");
    const watch = await eventually("the watch to open", () => listeners.operations.watches[before]);
    await eventually("the watch to be closed", () => watch.closed);
    listeners.operations.before = () => {};
  });

  test("ends at the deadline of its client", async () => {
    const { watch, next } = await open({ timeoutMs: 200 });
    watch.push(statusEvent(1));
    await next();
    expect((await errorOfNext(next)).code).toBe("DeadlineExceeded");
    await eventually("the watch to be closed", () => watch.closed);
  });

  test("is refused when its principal has too many, and let in when one of them is over", async () => {
    const opened = [await open(), await open(), await open()];
    const error = await errorOfNext(() => client.watch({ taskIds: [taskId] }).next());
    expect(error).toMatchObject({
      code: "ResourceExhausted",
      details: [{ reason: "WATCH_LIMIT_REACHED" }, { type: "google.rpc.RetryInfo" }],
    });
    opened[0]!.watch.finish("ok");
    expect((await opened[0]!.next()).done).toBe(true);
    const another = await open();
    for (const { watch, next } of [opened[1]!, opened[2]!, another]) {
      watch.finish("ok");
      await next();
    }
    await eventually("all watches to be over", () => listeners.observer.openWatches === 0);
  });
});

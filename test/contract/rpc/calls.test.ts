import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { QueueService } from "../../../src/gen/taskwatch/v1/queue_service_pb.ts";
import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { TaskService } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { maxMessageBytes } from "../../../src/rpc/limits.ts";
import { TaskError } from "../../../src/task/errors.ts";
import { answerOf, errorOf, rpcClients, type RpcClient } from "../../support/rpc-clients.ts";
import { type RpcListeners, startRpcListeners } from "../../support/rpc-listeners.ts";
import { scriptedTaskId, snapshotFrom } from "../../support/scripted-operations.ts";

const { method } = TaskService;
const errorInfo = (reason: string, metadata?: object) => ({
  type: "google.rpc.ErrorInfo",
  reason,
  domain: "taskwatch.dev",
  ...(metadata === undefined ? {} : { metadata }),
});

describe.each(Object.entries(rpcClients))("by %s", (name, makeClient) => {
  let listeners: RpcListeners;
  let client: RpcClient;

  beforeAll(async () => {
    listeners = await startRpcListeners();
    client = makeClient(listeners);
  });
  afterAll(async () => {
    client.close();
    await listeners[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    listeners.operations.before = () => {};
  });

  test("a status arrives as it is stored, with its revision", async () => {
    const taskId = scriptedTaskId(1);
    listeners.operations.put(snapshotFrom({ taskId, attempt: 2, labels: { a: "ü" } }, 2 ** 40));
    const answer = answerOf(await client.unary(method.getStatus, { taskId }));
    expect(answer["status"]).toEqual({
      taskId,
      queue: "demo",
      type: "sleep",
      state: "TASK_STATE_RUNNING",
      attempt: 2,
      labels: { a: "ü" },
      revision: String(2 ** 40),
    });
  });

  test("each result of a batch is by itself", async () => {
    listeners.operations.put(snapshotFrom({ taskId: scriptedTaskId(1) }));
    const taskIds = [scriptedTaskId(1), scriptedTaskId(999)];
    const answer = answerOf(await client.unary(method.batchGetStatus, { taskIds }));
    expect(answer["results"]).toMatchObject([
      { status: { taskId: taskIds[0] } },
      { error: { code: 5, reason: "TASK_NOT_FOUND", metadata: { task_id: taskIds[1] } } },
    ]);
  });

  test("a page of a list says where the next one starts", async () => {
    listeners.operations.put(snapshotFrom({ taskId: scriptedTaskId(1) }));
    const answer = answerOf(await client.unary(method.listTasks, {}));
    expect(answer).toMatchObject({ nextPageToken: "next", revision: expect.stringMatching(/^\d+$/) });
    expect(answer["statuses"]).toContainEqual(expect.objectContaining({ taskId: scriptedTaskId(1) }));
  });

  test("a task that is not there has the reason and the id as details", async () => {
    const taskId = scriptedTaskId(404);
    const error = errorOf(await client.unary(method.getStatus, { taskId }));
    expect(error).toEqual({
      code: "NotFound",
      message: "task not found",
      details: [errorInfo("TASK_NOT_FOUND", { task_id: taskId })],
    });
  });

  test("a broken rule names the field and the rule", async () => {
    const error = errorOf(await client.unary(method.getStatus, { taskId: "" }));
    expect(error.code).toBe("InvalidArgument");
    expect(error.details).toEqual([
      errorInfo("REQUEST_INVALID"),
      {
        type: "google.rpc.BadRequest",
        fieldViolations: [{ field: "task_id", description: "must be at least 1 characters", reason: "STRING_MIN_LEN" }],
      },
    ]);
  });

  test("an error that says when to repeat the call says it in its details", async () => {
    listeners.operations.before = () => {
      throw new TaskError("STORE_UNAVAILABLE", "store does not answer", { retryDelayMs: 1_500 });
    };
    const error = errorOf(await client.unary(method.getStatus, { taskId: "x" }));
    expect(error).toEqual({
      code: "Unavailable",
      message: "store does not answer",
      details: [errorInfo("STORE_UNAVAILABLE"), { type: "google.rpc.RetryInfo", retryDelay: "1.500s" }],
    });
  });

  test("an unexpected error gives nothing away, and is logged with its cause", async () => {
    const cause = new Error("password is hunter2");
    listeners.operations.before = () => {
      throw cause;
    };
    const error = errorOf(await client.unary(method.getStatus, { taskId: "x" }));
    expect(error).toEqual({ code: "Internal", message: "internal error", details: [errorInfo("INTERNAL")] });
    const line = listeners.logger.lines.findLast(({ level }) => level === "error");
    expect(line!.fields["error"]).toMatchObject({ cause });
  });

  test("an answer that is too large is refused by the same words everywhere", async () => {
    const taskId = scriptedTaskId(2);
    listeners.operations.put(snapshotFrom({ taskId, retryOf: "x".repeat(maxMessageBytes) }));
    const error = errorOf(await client.unary(method.getStatus, { taskId }));
    expect(error).toMatchObject({ code: "ResourceExhausted", details: [errorInfo("RESPONSE_TOO_LARGE")] });
  });

  test("the client's deadline ends the call, and the operation hears of it", async () => {
    const aborted = Promise.withResolvers<unknown>();
    listeners.operations.before = (_operation, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          aborted.resolve(signal.reason);
          reject(signal.reason as Error);
        });
      });
    const error = errorOf(await client.unary(method.getStatus, { taskId: "x" }, { timeoutMs: 100 }));
    expect(error.code).toBe("DeadlineExceeded");
    // A client that gives up by itself may be faster than the server's clock.
    expect(await aborted.promise).toMatchObject({
      reason: expect.stringMatching(/^(DEADLINE_EXCEEDED|CALL_CANCELLED)$/),
    });
  });

  test("a client that goes away aborts the operation", async () => {
    const entered = Promise.withResolvers<undefined>();
    const aborted = Promise.withResolvers<unknown>();
    listeners.operations.before = (_operation, signal) =>
      new Promise((_resolve, reject) => {
        entered.resolve(undefined);
        signal.addEventListener("abort", () => {
          aborted.resolve(signal.reason);
          reject(signal.reason as Error);
        });
      });
    const gone = new AbortController();
    const call = client.unary(method.getStatus, { taskId: "x" }, { signal: gone.signal }).catch(() => {});
    await entered.promise;
    gone.abort();
    expect(await aborted.promise).toMatchObject({ reason: "CALL_CANCELLED" });
    await call;
  });

  test("what has no operation yet is not implemented", async () => {
    const error = errorOf(await client.unary(QueueService.method.listQueues, {}));
    expect(error).toEqual({
      code: "Unimplemented",
      message: "ListQueues is not implemented",
      details: [errorInfo("NOT_IMPLEMENTED")],
    });
  });

  test("the trace context of the caller is passed on, and what is none is not", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await client.unary(method.getStatus, { taskId: "x" }, { headers: { traceparent } });
    expect(listeners.operations.seen.at(-1)?.caller).toEqual({ name: "anonymous", namespace: "default", traceparent });
    await client.unary(method.getStatus, { taskId: "x" }, { headers: { traceparent: "rubbish" } });
    expect(listeners.operations.seen.at(-1)?.caller.traceparent).toBeUndefined();
  });

  test("every call is counted once, by its method, protocol and code", async () => {
    const { started, handled } = listeners.observer;
    const before = { started: started.length, handled: handled.length };
    await client.unary(method.getStatus, { taskId: "" });
    expect(started.slice(before.started)).toHaveLength(1);
    await expect.poll(() => handled.slice(before.handled)).toHaveLength(1);
    expect(handled.at(-1)).toMatchObject({
      service: "taskwatch.v1.TaskService",
      method: "GetStatus",
      protocol: client.name === "grpc-js" ? "grpc" : client.name === "gRPC-Web" ? "grpc_web" : "connect",
      code: 3,
    });
  });

  // Connect has no GET for what has side effects.
  if (name === "Connect, GET") return;

  test("running a task again and deleting one are not implemented", async () => {
    for (const outcome of [
      await client.unary(method.retryTask, { taskId: "x" }),
      await client.unary(method.deleteTask, { taskId: "x" }),
    ]) {
      expect(errorOf(outcome)).toMatchObject({ code: "Unimplemented", details: [errorInfo("NOT_IMPLEMENTED")] });
    }
  });

  test("a submission is answered with its status and a token", async () => {
    const answer = answerOf(await client.unary(method.submitTask, { queue: "demo", type: "sleep" }));
    expect(answer).toMatchObject({
      status: { queue: "demo", type: "sleep", state: "TASK_STATE_QUEUED" },
      resumeToken: expect.stringMatching(/^token-/),
    });
  });

  test("a bad task of a batch does not harm the others", async () => {
    const requests = [
      { queue: "demo", type: "sleep" },
      { queue: "a.b", type: "sleep" },
      { queue: "demo", type: "wake", timeout: { seconds: -1n } },
      { queue: "demo", type: "last" },
    ];
    const answer = answerOf(await client.unary(method.submitTasks, { requests }));
    expect(answer["results"]).toMatchObject([
      { accepted: { status: { type: "sleep" } } },
      { error: { code: 3, reason: "REQUEST_INVALID", field: "queue" } },
      { error: { code: 3, reason: "REQUEST_INVALID", field: "timeout" } },
      { accepted: { status: { type: "last" } } },
    ]);
  });

  test("a cancellation and a wait say what became of the task", async () => {
    const taskId = scriptedTaskId(3);
    listeners.operations.put(snapshotFrom({ taskId }));
    const cancelled = answerOf(await client.unary(method.cancelTask, { taskId }));
    expect(cancelled).toMatchObject({ status: { taskId, state: "TASK_STATE_CANCELLED" } });
    listeners.operations.put(snapshotFrom({ taskId, state: TaskState.SUCCEEDED }));
    expect(answerOf(await client.unary(method.waitTask, { taskId }))).toMatchObject({ done: true });
  });

  test("a message that is too large is refused, and the connection goes on", async () => {
    const data = new Uint8Array(maxMessageBytes + 1);
    const request = { queue: "demo", type: "sleep", payload: { value: { case: "data", value: data } } } as const;
    const error = errorOf(await client.unary(method.submitTask, request));
    expect(error).toEqual({
      code: "ResourceExhausted",
      message: "message is larger than 1048576 bytes",
      details: [errorInfo("MESSAGE_TOO_LARGE")],
    });
    answerOf(await client.unary(method.submitTask, { queue: "demo", type: "sleep" }));
  });
});

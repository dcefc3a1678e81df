import { describe, expect, it } from "vitest";

import { createTaskwatchClient } from "../../../src/client/index.ts";
import type { SubmitTaskRequest, SubmitTasksRequest } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { failureOf } from "./failure-of.ts";
import { HeldClock } from "./held-clock.ts";
import { Failure, type Script, startScriptedService } from "./scripted-service.ts";

const unavailable = 14;

/** Accepts everything; a task is named by its type. */
function accepting(requests: SubmitTaskRequest[] = []): Script {
  const accept = (request: SubmitTaskRequest) => {
    requests.push(request);
    return { status: { taskId: `q_${request.type}`, type: request.type }, resumeToken: `after-${request.type}` };
  };
  return {
    submitTask: accept,
    submitTasks: (request) => ({
      results: request.requests.map((item) => ({ result: { case: "accepted", value: accept(item) } })),
    }),
  };
}

describe("submit", () => {
  it("sends the submits of one turn of the event loop in one call, in order", async () => {
    const requests: SubmitTaskRequest[] = [];
    await using service = await startScriptedService(accepting(requests));
    await using client = createTaskwatchClient({ address: service.address });

    const types = Array.from({ length: 50 }, (_, index) => `t${index}`);
    const tasks = await Promise.all(types.map((type) => client.submit({ queue: "q", type })));

    expect(service.calls).toEqual(["submitTasks"]);
    expect(requests.map(({ type }) => type)).toEqual(types);
    expect(tasks.map(({ taskId }) => taskId)).toEqual(types.map((type) => `q_${type}`));
    expect(tasks[7]).toMatchObject({ resumeToken: "after-t7", duplicate: false, status: { type: "t7" } });
  });

  it("sends a submit that is alone by itself", async () => {
    await using service = await startScriptedService(accepting());
    await using client = createTaskwatchClient({ address: service.address });
    await client.submit({ queue: "q", type: "t" });
    await client.submit({ queue: "q", type: "t" });
    expect(service.calls).toEqual(["submitTask", "submitTask"]);
  });

  it("gives each task a request id of its own, and keeps the caller's", async () => {
    const requests: SubmitTaskRequest[] = [];
    await using service = await startScriptedService(accepting(requests));
    await using client = createTaskwatchClient({ address: service.address });
    await Promise.all([
      client.submit({ queue: "q", type: "a" }),
      client.submit({ queue: "q", type: "b" }),
      client.submit({ queue: "q", type: "c", requestId: "mine" }),
    ]);
    const [first, second, third] = requests.map(({ requestId }) => requestId);
    expect(first).toMatch(/^[0-9a-f-]{36}$/);
    expect(second).toMatch(/^[0-9a-f-]{36}$/);
    expect(first).not.toBe(second);
    expect(third).toBe("mine");
  });

  it("splits what is more than a call may carry, by number and by bytes", async () => {
    const sizes: number[] = [];
    const script = accepting();
    const submitTasks = script.submitTasks!;
    script.submitTasks = (request: SubmitTasksRequest, call) => {
      sizes.push(request.requests.length);
      return submitTasks(request, call);
    };
    await using service = await startScriptedService(script);
    await using client = createTaskwatchClient({ address: service.address });

    await Promise.all(Array.from({ length: 2_500 }, () => client.submit({ queue: "q", type: "t" })));
    expect(sizes).toEqual([1_000, 1_000, 500]);

    sizes.length = 0;
    const payload = new Uint8Array(300 * 1024);
    await Promise.all(Array.from({ length: 5 }, () => client.submit({ queue: "q", type: "t", payload })));
    expect(sizes).toEqual([2, 2]);
    expect(service.calls.at(-1)).toBe("submitTask");
  });

  it("keeps a bounded number of calls under way", async () => {
    let underWay = 0;
    let most = 0;
    const release: (() => void)[] = [];
    const script = accepting();
    const submitTasks = script.submitTasks!;
    script.submitTasks = async (request, call) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await new Promise<void>((resolve) => {
        release.push(resolve);
      });
      underWay -= 1;
      return submitTasks(request, call);
    };
    await using service = await startScriptedService(script);
    await using client = createTaskwatchClient({ address: service.address, batch: { maxItems: 2, maxCalls: 3 } });

    const all = Promise.all(Array.from({ length: 20 }, () => client.submit({ queue: "q", type: "t" })));
    for (let call = 0; call < 10; call += 1) {
      (await eventually("a call", () => release[call]))();
    }
    await all;
    expect(most).toBe(3);
  });

  it("refuses what would make its own queue grow without bound", async () => {
    await using service = await startScriptedService(accepting());
    await using client = createTaskwatchClient({ address: service.address, batch: { maxQueuedBytes: 1_000 } });
    const payload = new Uint8Array(600);
    const first = client.submit({ queue: "q", type: "t", payload });
    const error = await failureOf(client.submit({ queue: "q", type: "t", payload }));
    expect(error).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "CLIENT_QUEUE_FULL" });
    await first;
    await client.submit({ queue: "q", type: "t", payload });
  });

  it("fails one item of a batch without failing the others", async () => {
    await using service = await startScriptedService({
      submitTasks: () => ({
        results: [
          { result: { case: "accepted", value: { status: { taskId: "q_1" } } } },
          {
            result: {
              case: "error",
              value: {
                code: 6,
                reason: "REQUEST_ID_REUSED",
                message: "used before",
                field: "request_id",
                metadata: { task_id: "q_0" },
              },
            },
          },
        ],
      }),
    });
    await using client = createTaskwatchClient({ address: service.address });
    const [accepted, refused] = [
      client.submit({ queue: "q", type: "a" }),
      client.submit({ queue: "q", type: "b", requestId: "again" }),
    ];
    const error = await failureOf(refused);
    expect(error).toMatchObject({ code: "ALREADY_EXISTS", reason: "REQUEST_ID_REUSED", message: "used before" });
    expect(error.fields).toEqual([{ field: "request_id", description: "used before", rule: "" }]);
    expect(error.taskId).toBe("q_0");
    expect(error.metadata["request_id"]).toBe("again");
    expect((await accepted).taskId).toBe("q_1");
  });

  it("tells which field broke which rule", async () => {
    const fields = [{ field: "retry_policy.max_attempts", description: "must be at most 100", reason: "LTE" }];
    await using service = await startScriptedService({
      submitTask: () => {
        throw new Failure(3, { message: "request is invalid", reason: "REQUEST_INVALID", fields });
      },
    });
    await using client = createTaskwatchClient({ address: service.address });
    const error = await failureOf(client.submit({ queue: "q", type: "t", retry: { maxAttempts: 101 } }));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", reason: "REQUEST_INVALID", message: "request is invalid" });
    expect(error.fields).toEqual([
      { field: "retry_policy.max_attempts", description: "must be at most 100", rule: "LTE" },
    ]);
    expect(service.calls).toHaveLength(1);
  });

  it("refuses by itself what cannot be written down", async () => {
    await using client = createTaskwatchClient({ address: "127.0.0.1:1" });
    const submit = (more: object) => failureOf(client.submit({ queue: "q", type: "t", ...more }));
    expect((await submit({ payload: { a: [1, Number.NaN] } })).message).toBe("payload.a[1]: NaN is not a JSON number");
    expect((await submit({ payload: { f: () => 1 } })).fields[0]).toMatchObject({ field: "payload.f" });
    expect((await submit({ delayMs: 1, scheduleAt: new Date() })).fields[0]).toMatchObject({ rule: "START_TWICE" });
    expect((await submit({ deadline: new Date("never") })).fields[0]).toMatchObject({ field: "deadline" });
    expect((await submit({ timeoutMs: Number.POSITIVE_INFINITY })).fields[0]).toMatchObject({ field: "timeout" });
    expect((await submit({ retry: { maxAttempts: 0 } })).fields[0]).toMatchObject({ rule: "NOT_WHOLE" });
    expect((await submit({ priority: "URGENT" })).code).toBe("INVALID_ARGUMENT");
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    expect((await submit({ payload: circular })).fields[0]).toMatchObject({ rule: "JSON_TOO_DEEP" });
  });

  it("sends again with the same request id while the service is unavailable, after a pause of full jitter", async () => {
    const requests: SubmitTaskRequest[] = [];
    const clock = new HeldClock();
    let refusals = 2;
    const { submitTask } = accepting();
    await using service = await startScriptedService({
      submitTask: (request, call) => {
        requests.push(request);
        if (refusals-- > 0) throw new Failure(unavailable, { reason: "STORE_UNAVAILABLE" });
        return submitTask!(request, call);
      },
    });
    await using client = createTaskwatchClient({ address: service.address, clock });

    const task = client.submit({ queue: "q", type: "t" });
    // Half of 100 ms × 2^n, as chance stands at one half.
    expect(await eventually("a pause", () => clock.pendingMs[0])).toBe(50);
    clock.advance(50);
    expect(await eventually("a pause", () => clock.pendingMs[0])).toBe(100);
    clock.advance(100);
    expect((await task).taskId).toBe("q_t");
    expect(requests).toHaveLength(3);
    expect(new Set(requests.map(({ requestId }) => requestId)).size).toBe(1);
  });

  it("sends only those items of a batch again that may have got lost, together", async () => {
    const clock = new HeldClock();
    const batches: string[][] = [];
    await using service = await startScriptedService({
      submitTasks: ({ requests }) => {
        batches.push(requests.map(({ type }) => type));
        return {
          results: requests.map(({ type }) => ({
            result:
              batches.length === 1 && type !== "b"
                ? { case: "error", value: { code: unavailable, reason: "OUTCOME_UNKNOWN", message: "no answer" } }
                : { case: "accepted", value: { status: { taskId: type } } },
          })),
        };
      },
    });
    await using client = createTaskwatchClient({ address: service.address, clock });
    const tasks = ["a", "b", "c"].map((type) => client.submit({ queue: "q", type }));
    await tasks[1];
    clock.advance(await eventually("a pause", () => clock.pendingMs[0]));
    expect((await Promise.all(tasks)).map(({ taskId }) => taskId)).toEqual(["a", "b", "c"]);
    expect(batches).toEqual([
      ["a", "b", "c"],
      ["a", "c"],
    ]);
  });

  it("waits as long as the service asks for", async () => {
    const clock = new HeldClock();
    clock.chance = 0;
    const { submitTask } = accepting();
    let refuse = true;
    await using service = await startScriptedService({
      submitTask: (request, call) => {
        if (!refuse) return submitTask!(request, call);
        refuse = false;
        throw new Failure(unavailable, { reason: "DRAINING", retryDelayMs: 1_500 });
      },
    });
    await using client = createTaskwatchClient({ address: service.address, clock });
    const task = client.submit({ queue: "q", type: "t" });
    expect(await eventually("a pause", () => clock.pendingMs[0])).toBe(1_500);
    clock.advance(1_500);
    await task;
  });

  it("gives up when its budget is used up, and tells the request id", async () => {
    const clock = new HeldClock();
    await using service = await startScriptedService({
      submitTask: () => {
        throw new Failure(unavailable, { reason: "STORE_UNAVAILABLE" });
      },
    });
    await using client = createTaskwatchClient({ address: service.address, clock, retryBudgetMs: 1_000 });
    const failure = failureOf(client.submit({ queue: "q", type: "t", requestId: "r" }));
    for (const pauseMs of [50, 100, 200, 400]) {
      await eventually(`a pause of ${pauseMs} ms`, () => clock.pendingMs[0] === pauseMs);
      clock.advance(pauseMs);
    }
    // Half of 1.6 s would be more than is left of the second.
    expect(await failure).toMatchObject({ code: "UNAVAILABLE", metadata: { request_id: "r" } });
    expect(service.calls).toHaveLength(5);
  });

  it.each([
    [8, "RATE_LIMITED"],
    [10, "CONFLICT"],
    [13, "INTERNAL"],
  ])("never repeats after status %i", async (code, reason) => {
    await using service = await startScriptedService({
      submitTask: () => {
        throw new Failure(code, { reason });
      },
    });
    await using client = createTaskwatchClient({ address: service.address });
    expect(await failureOf(client.submit({ queue: "q", type: "t" }))).toMatchObject({ reason });
    expect(service.calls).toHaveLength(1);
  });

  it("gives up a call that is not answered in time", async () => {
    await using service = await startScriptedService({ submitTask: () => new Promise(() => {}) });
    await using client = createTaskwatchClient({ address: service.address, timeoutMs: 1_000, retryBudgetMs: 0 });
    expect(await failureOf(client.submit({ queue: "q", type: "t" }))).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(service.calls).toHaveLength(1);
  });

  it("reaches a service that comes up within the budget", async () => {
    const service = await startScriptedService(accepting());
    await using _service = service;
    service.kill();
    await using client = createTaskwatchClient({ address: service.address });
    const task = client.submit({ queue: "q", type: "t" });
    await service.restart();
    expect((await task).taskId).toBe("q_t");
  });

  it("is given up by its signal, sent or not", async () => {
    await using service = await startScriptedService({ submitTask: () => new Promise(() => {}) });
    await using client = createTaskwatchClient({ address: service.address });
    const before = AbortSignal.abort(new Error("before"));
    await expect(client.submit({ queue: "q", type: "t" }, { signal: before })).rejects.toThrow("before");

    const controller = new AbortController();
    const unsent = client.submit({ queue: "q", type: "t" }, { signal: controller.signal });
    controller.abort(new Error("changed my mind"));
    await expect(unsent).rejects.toThrow("changed my mind");
    expect(service.calls).toHaveLength(0);

    const later = new AbortController();
    const sent = client.submit({ queue: "q", type: "t" }, { signal: later.signal });
    await eventually("the call", () => service.calls.length === 1);
    later.abort(new Error("too late"));
    await expect(sent).rejects.toThrow("too late");
  });

  it("fails what waits, what is under way and what comes when the client is closed", async () => {
    await using service = await startScriptedService({ submitTask: () => new Promise(() => {}) });
    const client = createTaskwatchClient({ address: service.address });
    const underWay = failureOf(client.submit({ queue: "q", type: "t" }));
    await eventually("the call", () => service.calls.length === 1);
    const waiting = failureOf(client.submit({ queue: "q", type: "t" }));
    client.close();
    client.close();
    for (const failure of [underWay, waiting, failureOf(client.submit({ queue: "q", type: "t" }))]) {
      expect(await failure).toMatchObject({ reason: "CLIENT_CLOSED" });
    }
  });

  it("says everything that there is to say about a task", async () => {
    const requests: SubmitTaskRequest[] = [];
    await using service = await startScriptedService(accepting(requests));
    await using client = createTaskwatchClient({ address: service.address, apiKey: "secret" });
    await client.submit({
      queue: "q",
      type: "t",
      payload: { when: new Date(0), list: [1, null, undefined], skipped: undefined, __proto__x: true },
      priority: "HIGH",
      labels: { a: "b" },
      delayMs: 1_500,
      deadline: new Date(5_000),
      timeoutMs: 20,
      retry: {
        maxAttempts: 7,
        initialBackoffMs: 10,
        maximumBackoffMs: 20,
        multiplier: 3,
        jitter: "NONE",
        nonRetryableCodes: ["NOPE"],
      },
      retentionMs: 60_000,
    });
    const [request] = requests;
    expect(request).toMatchObject({
      priority: 3,
      labels: { a: "b" },
      start: { case: "delay", value: { seconds: 1n, nanos: 500_000_000 } },
      deadline: { seconds: 5n },
      timeout: { nanos: 20_000_000 },
      retryPolicy: {
        maxAttempts: 7,
        initialBackoff: { nanos: 10_000_000 },
        maximumBackoff: { nanos: 20_000_000 },
        multiplier: 3,
        jitter: 2,
        nonRetryableCodes: ["NOPE"],
      },
      retention: { seconds: 60n },
      payload: { value: { case: "json" } },
    });
  });
});

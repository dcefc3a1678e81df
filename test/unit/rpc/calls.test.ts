import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { createOpenPrincipals } from "../../../src/rpc/access/principals.ts";
import { createQuotas } from "../../../src/rpc/access/quotas.ts";
import { createCallLog } from "../../../src/rpc/call-log.ts";
import { type Call, type Calls, createCalls } from "../../../src/rpc/calls.ts";
import { type Method, methods } from "../../../src/rpc/methods.ts";
import { TaskError } from "../../../src/task/errors.ts";
import { createRecordingLogger, type RecordingLogger } from "../../support/recording-logger.ts";
import { createRecordingObserver, type RecordingObserver } from "../../support/recording-observer.ts";

const methodOf = (name: string): Method => methods.find((method) => method.name === name)!;
const arrival = { authorization: undefined, traceparent: undefined, timeoutMs: undefined };

let observer: RecordingObserver;
let logger: RecordingLogger;
let calls: Calls;

beforeEach(() => {
  vi.useFakeTimers();
  observer = createRecordingObserver();
  logger = createRecordingLogger();
  calls = createCalls({
    principals: createOpenPrincipals(),
    quotas: createQuotas({}),
    observer,
    log: createCallLog(logger),
    limits: { requestTimeoutMs: 10_000 },
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const start = (name: string, timeoutMs?: number): { call: Call; expired: string[] } => {
  const call = calls.start(methodOf(name), "grpc");
  const expired: string[] = [];
  call.onExpired = (when) => expired.push(when);
  call.admit({ ...arrival, timeoutMs });
  return { call, expired };
};
const never = () => new Promise<never>(() => {});

describe("the time of a call", () => {
  test("is over after 10 s if its request has not come", () => {
    const { call, expired } = start("GetStatus");
    vi.advanceTimersByTime(9_990);
    expect(call.signal.aborted).toBe(false);
    vi.advanceTimersByTime(20);
    expect(call.signal.reason).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(expired).toEqual(["now"]);
    vi.advanceTimersByTime(60_000);
    expect(expired).toEqual(["now", "gone"]);
  });

  test.each([
    ["GetStatus", 30_000],
    ["SubmitTasks", 30_000],
    ["WaitTask", 65_000],
    ["WatchStatus", 30_000],
  ])("of %s is over after %i ms if it has", async (name, boundMs) => {
    const { call, expired } = start(name);
    call.received();
    const outcome = call.run(never);
    outcome.catch(() => {});
    vi.advanceTimersByTime(boundMs - 10);
    expect(expired).toHaveLength(0);
    vi.advanceTimersByTime(20);
    await expect(outcome).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(expired).toEqual(["now"]);
  });

  test.each([50, 12_000])("is over after the %i ms that the client gives it", async (timeoutMs) => {
    const { call } = start("GetStatus", timeoutMs);
    call.received();
    const outcome = call.run(never);
    outcome.catch(() => {});
    vi.advanceTimersByTime(timeoutMs - 10);
    expect(call.signal.aborted).toBe(false);
    vi.advanceTimersByTime(20);
    await expect(outcome).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED" });
  });

  test("is not longer because the client would wait longer", () => {
    const { call } = start("GetStatus", 3_600_000);
    call.received();
    vi.advanceTimersByTime(30_010);
    expect(call.signal.aborted).toBe(true);
  });

  test("of a watch has no end once it is open, but for the client's own", () => {
    const open = start("WatchStatus").call;
    const limited = start("WatchStatus", 100_000).call;
    for (const call of [open, limited]) {
      call.received();
      call.unbound();
    }
    vi.advanceTimersByTime(99_990);
    expect([open.signal.aborted, limited.signal.aborted]).toEqual([false, false]);
    vi.advanceTimersByTime(3_600_000);
    expect([open.signal.aborted, limited.signal.aborted]).toEqual([false, true]);
  });

  test("goes on after the answer, so that an answer which nobody reads goes away", () => {
    const { call, expired } = start("GetStatus");
    call.received();
    call.end();
    vi.advanceTimersByTime(30_010);
    expect(expired).toEqual(["gone"]);
    expect(call.signal.aborted).toBe(false);
  });

  test("leaves no timer behind", () => {
    const { call } = start("GetStatus");
    call.received();
    call.end();
    call.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("the end of a call", () => {
  test("is counted once, and the first word counts", () => {
    const { call } = start("GetStatus");
    call.end(new TaskError("TASK_NOT_FOUND", "task not found"));
    call.end();
    call.close();
    expect(observer.handled).toMatchObject([{ method: "GetStatus", protocol: "grpc", code: 5 }]);
  });

  test("without an answer is a cancellation, and aborts what runs", async () => {
    const { call } = start("GetStatus");
    call.received();
    const outcome = call.run(never);
    call.close();
    await expect(outcome).rejects.toMatchObject({ reason: "CALL_CANCELLED" });
    expect(observer.handled).toMatchObject([{ code: 1 }]);
    await expect(call.run(never)).rejects.toMatchObject({ reason: "CALL_CANCELLED" });
  });

  test("makes an error of whatever an operation throws", async () => {
    const cause = new Error("boom");
    const outcome = start("GetStatus").call.run(() => Promise.reject(cause));
    await expect(outcome).rejects.toMatchObject({ reason: "INTERNAL", message: "internal error", cause });
  });

  test("is waited for by who drains, and new calls are refused meanwhile", async () => {
    const { call } = start("GetStatus");
    let drained = false;
    const draining = calls.drain().then(() => {
      drained = true;
    });
    const late = calls.start(methodOf("GetStatus"), "grpc");
    expect(() => late.admit(arrival)).toThrow(expect.objectContaining({ reason: "DRAINING", retryDelayMs: 1_000 }));
    late.close();
    await Promise.resolve();
    expect(drained).toBe(false);
    call.end();
    call.close();
    await draining;
    expect(drained).toBe(true);
  });
});

describe("the log", () => {
  test.each([
    ["TASK_NOT_FOUND", "debug"],
    ["STORE_UNAVAILABLE", "warn"],
    ["INTERNAL", "error"],
  ] as const)("has %s at level %s, with who called what", (reason, level) => {
    const error = new TaskError(reason, "text");
    start("GetStatus").call.end(error);
    expect(logger.lines).toMatchObject([
      { level, fields: { service: "taskwatch.v1.TaskService", method: "GetStatus", principal: "anonymous", reason } },
    ]);
  });

  test("has nothing of calls that succeed", () => {
    start("GetStatus").call.end();
    expect(logger.lines).toEqual([]);
  });

  test("is not flooded by an outage, and says how much was left out", () => {
    for (let count = 0; count < 1_000; count += 1)
      start("GetStatus").call.end(new TaskError("STORE_UNAVAILABLE", "text"));
    expect(logger.lines).toHaveLength(20);
    vi.advanceTimersByTime(1_000);
    start("GetStatus").call.end(new TaskError("STORE_UNAVAILABLE", "text"));
    expect(logger.lines.at(-1)?.fields["suppressed"]).toBe(980);
  });
});

import { Registry } from "prom-client";
import { afterEach, describe, expect, test, vi } from "vitest";

import type { Role } from "../../../src/telemetry/catalogue.ts";
import { collectTimeoutMs } from "../../../src/telemetry/collectors.ts";
import { boundedPairLimit, boundedQueueLimit } from "../../../src/telemetry/label-values.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { parseExposition, valueOf } from "../../support/exposition.ts";

const ofTask = { queue: "demo", type: "sleep" };

function aMetrics(...roles: Role[]) {
  return createMetrics({ registry: new Registry(), roles: roles.length > 0 ? roles : ["api", "worker"] });
}

describe("tasks", () => {
  test("a submitted task counts under its result, and the other results are there at 0", async () => {
    const metrics = aMetrics();
    metrics.taskSubmitted({ ...ofTask, result: "accepted" });
    const text = await metrics.scrape();
    expect(valueOf(text, "taskwatch_tasks_submitted_total", { ...ofTask, result: "accepted" })).toBe(1);
    expect(valueOf(text, "taskwatch_tasks_submitted_total", { ...ofTask, result: "rejected" })).toBe(0);
  });

  test("a refused task cannot take a label away from real queues", async () => {
    const metrics = aMetrics();
    for (let index = 0; index < 500; index += 1) {
      metrics.taskSubmitted({ queue: `made-up-${index}`, type: `made-up-${index}`, result: "rejected" });
    }
    metrics.taskSubmitted({ ...ofTask, result: "accepted" });
    const text = await metrics.scrape();
    const rejected = { queue: "other", type: "other", result: "rejected" };
    expect(valueOf(text, "taskwatch_tasks_submitted_total", rejected)).toBe(500);
    expect(valueOf(text, "taskwatch_tasks_submitted_total", { ...ofTask, result: "accepted" })).toBe(1);
    expect(text).not.toContain("made-up");
  });

  test("refused tasks of made-up types leave room for the types of as many queues as are told apart", async () => {
    const metrics = aMetrics();
    const queues = Array.from({ length: boundedQueueLimit }, (_, index) => `queue-${index}`);
    for (const queue of queues) metrics.leaseLost({ queue });
    for (const queue of queues) metrics.taskSubmitted({ queue, type: "made-up", result: "rejected" });
    metrics.taskSubmitted({ queue: "queue-0", type: "sleep", result: "accepted" });
    const accepted = { queue: "queue-0", type: "sleep", result: "accepted" };
    expect(valueOf(await metrics.scrape(), "taskwatch_tasks_submitted_total", accepted)).toBe(1);
  });

  test("an attempt is counted by outcome and measured from claim to end", async () => {
    const metrics = aMetrics();
    metrics.attemptStarted({ ...ofTask, waitSeconds: 0.3 });
    metrics.attemptEnded({ ...ofTask, outcome: "failed", runSeconds: 7 });
    metrics.attemptEnded({ ...ofTask, outcome: "lost" });
    const text = await metrics.scrape();
    expect(valueOf(text, "taskwatch_task_attempts_total", { ...ofTask, outcome: "failed" })).toBe(1);
    expect(valueOf(text, "taskwatch_task_attempts_total", { ...ofTask, outcome: "lost" })).toBe(1);
    expect(valueOf(text, "taskwatch_task_queue_wait_seconds_sum", ofTask)).toBe(0.3);
    expect(valueOf(text, "taskwatch_task_run_seconds_sum", { ...ofTask, outcome: "failed" })).toBe(7);
    expect(valueOf(text, "taskwatch_task_run_seconds_count", { ...ofTask, outcome: "lost" })).toBeUndefined();
  });

  test("a retry counts under the service's own code, and a handler's code under handler_error", async () => {
    const metrics = aMetrics();
    metrics.taskRetried({ ...ofTask, code: "TIMEOUT" });
    metrics.taskRetried({ ...ofTask, code: "CARD_DECLINED" });
    const text = await metrics.scrape();
    expect(valueOf(text, "taskwatch_task_retries_total", { ...ofTask, reason: "timeout" })).toBe(1);
    expect(valueOf(text, "taskwatch_task_retries_total", { ...ofTask, reason: "handler_error" })).toBe(1);
  });

  test("a worker shows the types it serves at 0 before the first task", async () => {
    const metrics = aMetrics("worker");
    metrics.typesServed({ queue: "demo", types: ["sleep"] });
    const text = await metrics.scrape();
    expect(valueOf(text, "taskwatch_tasks_completed_total", { ...ofTask, outcome: "succeeded" })).toBe(0);
    expect(valueOf(text, "taskwatch_task_total_seconds_count", ofTask)).toBe(0);
    expect(valueOf(text, "taskwatch_worker_leases_lost_total", { queue: "demo" })).toBe(0);
  });

  test("serving a type again keeps what was counted", async () => {
    const metrics = aMetrics("worker");
    metrics.attemptStarted({ ...ofTask, waitSeconds: 0.3 });
    metrics.leaseLost(ofTask);
    metrics.typesServed({ queue: "demo", types: ["sleep"] });
    const text = await metrics.scrape();
    expect(valueOf(text, "taskwatch_task_queue_wait_seconds_count", ofTask)).toBe(1);
    expect(valueOf(text, "taskwatch_worker_leases_lost_total", { queue: "demo" })).toBe(1);
  });

  test.each([-1, Number.NaN])("a wait of %d s counts as none and keeps the sum", async (waitSeconds) => {
    const metrics = aMetrics("worker");
    metrics.attemptStarted({ ...ofTask, waitSeconds: 2 });
    metrics.attemptStarted({ ...ofTask, waitSeconds });
    const text = await metrics.scrape();
    expect(valueOf(text, "taskwatch_task_queue_wait_seconds_bucket", { ...ofTask, le: "0.005" })).toBe(1);
    expect(valueOf(text, "taskwatch_task_queue_wait_seconds_sum", ofTask)).toBe(2);
  });

  test("beyond the limit of pairs, a queue keeps its name and the type is other", async () => {
    const metrics = aMetrics();
    for (let index = 0; index <= boundedPairLimit; index += 1) {
      metrics.taskSubmitted({ queue: "demo", type: `type-${index}`, result: "accepted" });
    }
    const text = await metrics.scrape();
    const valueOfType = (type: string) =>
      valueOf(text, "taskwatch_tasks_submitted_total", { queue: "demo", type, result: "accepted" });
    expect(valueOfType(`type-${boundedPairLimit - 1}`)).toBe(1);
    expect(valueOfType(`type-${boundedPairLimit}`)).toBeUndefined();
    expect(valueOfType("other")).toBe(1);
  });
});

describe("calls", () => {
  const method = { service: "taskwatch.v1.TaskService", method: "GetStatus" };
  const labels = { grpc_service: method.service, grpc_method: method.method, grpc_type: "unary" };

  test("a call is counted by protocol, method and the name of its code", async () => {
    const metrics = aMetrics();
    metrics.rpcMethods([{ ...method, type: "unary" }]);
    const call = { ...method, protocol: "grpc_web" } as const;
    metrics.rpcStarted(call);
    metrics.rpcMessagesReceived(call);
    metrics.rpcMessagesSent(call, 3);
    metrics.rpcHandled(call, { code: 5, seconds: 0.02 });
    const text = await metrics.scrape();
    const web = { ...labels, protocol: "grpc_web" };
    expect(valueOf(text, "grpc_server_started_total", web)).toBe(1);
    expect(valueOf(text, "grpc_server_msg_received_total", web)).toBe(1);
    expect(valueOf(text, "grpc_server_msg_sent_total", web)).toBe(3);
    expect(valueOf(text, "grpc_server_handled_total", { ...web, grpc_code: "NotFound" })).toBe(1);
    expect(valueOf(text, "grpc_server_handling_seconds_sum", web)).toBe(0.02);
    expect(valueOf(text, "grpc_server_started_total", { ...labels, protocol: "connect" })).toBe(0);
  });

  test("a code that is none counts as Unknown, and a method that is none as other", async () => {
    const metrics = aMetrics();
    metrics.rpcHandled({ service: "x.Y", method: "Z", protocol: "grpc" }, { code: 99, seconds: 0 });
    const other = { grpc_service: "other", grpc_method: "other", protocol: "grpc", grpc_code: "Unknown" };
    expect(valueOf(await metrics.scrape(), "grpc_server_handled_total", other)).toBe(1);
  });

  test("naming a method again keeps what was counted", async () => {
    const metrics = aMetrics();
    metrics.rpcMethods([{ ...method, type: "unary" }]);
    metrics.rpcStarted({ ...method, protocol: "grpc" });
    metrics.rpcMethods([{ ...method, type: "unary" }]);
    expect(valueOf(await metrics.scrape(), "grpc_server_started_total", { ...labels, protocol: "grpc" })).toBe(1);
  });
});

test("open watches go up and down, and their ends are counted by reason", async () => {
  const metrics = aMetrics();
  metrics.watchOpened();
  metrics.watchOpened();
  metrics.watchMessagesSent("snapshot", 2);
  metrics.watchStatusesMerged(4);
  metrics.watchLag(0.004);
  metrics.watchClosed("slow_reader");
  const text = await metrics.scrape();
  expect(valueOf(text, "taskwatch_watch_streams")).toBe(1);
  expect(valueOf(text, "taskwatch_watch_messages_sent_total", { kind: "snapshot" })).toBe(2);
  expect(valueOf(text, "taskwatch_watch_statuses_merged_total")).toBe(4);
  expect(valueOf(text, "taskwatch_watch_ends_total", { reason: "slow_reader" })).toBe(1);
  expect(valueOf(text, "taskwatch_watch_lag_seconds_count")).toBe(1);
});

test("writes, conflicts and reconnects are counted", async () => {
  const metrics = aMetrics();
  metrics.natsWrite({ result: "unknown", seconds: 5 });
  metrics.recordConflict("takeover");
  metrics.natsReconnected();
  metrics.viewChangesApplied(7);
  metrics.viewFollowerRestarted();
  const text = await metrics.scrape();
  expect(valueOf(text, "taskwatch_nats_writes_total", { result: "unknown" })).toBe(1);
  expect(valueOf(text, "taskwatch_nats_write_seconds_sum")).toBe(5);
  expect(valueOf(text, "taskwatch_record_conflicts_total", { writer: "takeover" })).toBe(1);
  expect(valueOf(text, "taskwatch_nats_reconnects_total")).toBe(1);
  expect(valueOf(text, "taskwatch_view_changes_applied_total")).toBe(7);
  expect(valueOf(text, "taskwatch_view_follower_restarts_total")).toBe(1);
});

test("a process reports the metrics of its roles only", async () => {
  const names = async (role: Role): Promise<Set<string>> => {
    const metrics = aMetrics(role);
    metrics.typesServed({ queue: "demo", types: ["sleep"] });
    return new Set(parseExposition(await metrics.scrape()).map(({ name }) => name));
  };
  const [api, worker] = [await names("api"), await names("worker")];
  expect(api).toContain("taskwatch_watch_streams");
  expect(api).not.toContain("taskwatch_task_queue_wait_seconds_count");
  expect(worker).toContain("taskwatch_task_queue_wait_seconds_count");
  expect(worker).not.toContain("taskwatch_watch_streams");
});

describe("figures read on demand", () => {
  afterEach(() => void vi.useRealTimers());

  const figures = { appliedRevision: 41, proofAgeSeconds: 0.5, rows: 3, indexBytes: 4096 };
  const depths = {
    delayed: 1,
    dead: 1,
    waiting: { high: 1, normal: 2, low: 3 },
    running: { high: 0, normal: 0, low: 1 },
  };

  test("nothing is reported before anybody collects it", async () => {
    expect(valueOf(await aMetrics().scrape(), "taskwatch_view_proof_age_seconds")).toBeUndefined();
  });

  test("each scrape reads anew, and scrapes at one time read once", async () => {
    const metrics = aMetrics();
    let reads = 0;
    metrics.collectView(() => ({ ...figures, rows: (reads += 1) }));
    const texts = await Promise.all([metrics.scrape(), metrics.scrape()]);
    expect(texts.map((text) => valueOf(text, "taskwatch_view_rows"))).toEqual([1, 1]);
    expect(valueOf(await metrics.scrape(), "taskwatch_view_rows")).toBe(2);
  });

  test("figures that cannot be read leave a gap and a count, and the scrape goes on", async () => {
    const metrics = aMetrics();
    let broken = false;
    metrics.collectView(async () => {
      if (broken) throw new Error("no connection");
      return figures;
    });
    expect(valueOf(await metrics.scrape(), "taskwatch_view_applied_revision")).toBe(41);
    broken = true;
    const text = await metrics.scrape();
    expect(valueOf(text, "taskwatch_view_applied_revision")).toBeUndefined();
    expect(valueOf(text, "taskwatch_collector_failures_total", { collector: "view" })).toBe(1);
  });

  test("figures that take too long are given up, and their reader is told", async () => {
    vi.useFakeTimers();
    const metrics = aMetrics();
    let told: AbortSignal | undefined;
    metrics.collectQueues((signal) => {
      told = signal;
      return new Promise(() => {});
    });
    const scrape = metrics.scrape();
    await vi.advanceTimersByTimeAsync(collectTimeoutMs);
    vi.useRealTimers();
    expect(valueOf(await scrape, "taskwatch_collector_failures_total", { collector: "queues" })).toBe(1);
    expect(told?.aborted).toBe(true);
  });

  test("a queue that is gone is no longer reported", async () => {
    const metrics = aMetrics();
    let queues = ["a", "b"];
    metrics.collectQueues(() => queues.map((queue) => ({ ...depths, queue, oldestWaitingAgeSeconds: 1 })));
    expect(valueOf(await metrics.scrape(), "taskwatch_queue_waiting", { queue: "b", priority: "low" })).toBe(3);
    queues = ["a"];
    expect(valueOf(await metrics.scrape(), "taskwatch_queue_waiting", { queue: "b", priority: "low" })).toBeUndefined();
  });

  test("queues beyond the limit are added up, and the oldest age is that of the oldest", async () => {
    const metrics = aMetrics();
    const queues = Array.from({ length: 53 }, (_, index) => `queue-${index}`);
    metrics.collectQueues(() => queues.map((queue, index) => ({ ...depths, queue, oldestWaitingAgeSeconds: index })));
    const text = await metrics.scrape();
    expect(valueOf(text, "taskwatch_queue_waiting", { queue: "other", priority: "normal" })).toBe(6);
    expect(valueOf(text, "taskwatch_queue_oldest_waiting_age_seconds", { queue: "other" })).toBe(52);
  });

  test("collecting the same twice is refused until the first has ended", async () => {
    const metrics = aMetrics();
    const stop = metrics.collectNats(() => ({ connected: true, writesInFlight: 0 }));
    expect(() => metrics.collectNats(() => ({ connected: true, writesInFlight: 0 }))).toThrow("nats");
    stop();
    expect(valueOf(await metrics.scrape(), "taskwatch_nats_connected")).toBeUndefined();
    metrics.collectNats(() => ({ connected: false, writesInFlight: 2 }));
    expect(valueOf(await metrics.scrape(), "taskwatch_nats_connected")).toBe(0);
  });

  test("a worker without a heartbeat yet shows its slots", async () => {
    const metrics = aMetrics("worker");
    metrics.collectWorkers(() => [{ queue: "demo", slots: 8, busy: 3 }]);
    const text = await metrics.scrape();
    expect(valueOf(text, "taskwatch_worker_slots", { queue: "demo" })).toBe(8);
    expect(valueOf(text, "taskwatch_worker_slots_busy", { queue: "demo" })).toBe(3);
    expect(valueOf(text, "taskwatch_worker_last_heartbeat_timestamp_seconds")).toBeUndefined();
  });
});

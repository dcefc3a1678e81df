import { Registry } from "prom-client";

import { startAdminServer } from "../../src/telemetry/admin-server.ts";
import type { Role } from "../../src/telemetry/catalogue.ts";
import { createMetrics, type Metrics } from "../../src/telemetry/metrics.ts";
import { registerProcessMetrics } from "../../src/telemetry/process-metrics.ts";
import type { ScrapeTarget } from "./prometheus.ts";
import { createRecordingLogger } from "./recording-logger.ts";

/** Something to scrape that is being used all the time. */
export interface LoadedApp extends AsyncDisposable {
  /** Its admin servers: at least one API process and one worker. */
  readonly targets: readonly ScrapeTarget[];
}

/**
 * Starts an API process and a worker, as far as Prometheus can tell: their metrics, exercised as if tasks were submitted,
 * run and watched all the time, each behind an admin server of its own.
 */
export async function startLoadedApp(): Promise<LoadedApp> {
  const resources = new AsyncDisposableStack();
  const start = async (role: Role, exercise: (metrics: Metrics, tick: number) => void): Promise<ScrapeTarget> => {
    const registry = new Registry();
    const metrics = createMetrics({ registry, roles: [role] });
    registerProcessMetrics(registry, { version: "1.2.3", commit: "abc" });
    collect(metrics, role);
    let tick = 0;
    const timer = setInterval(() => exercise(metrics, (tick += 1)), 20);
    resources.defer(() => clearInterval(timer));
    const readiness = () => ({ ready: true, checks: {} });
    const server = resources.use(
      await startAdminServer({ port: 0, metrics, readiness, logger: createRecordingLogger() }),
    );
    return { job: `taskwatch-${role}`, address: `127.0.0.1:${server.port}` };
  };
  try {
    const targets = [await start("api", exerciseApi), await start("worker", exerciseWorker)];
    return { targets, [Symbol.asyncDispose]: () => resources.disposeAsync() };
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}

const ofTask = { queue: "demo", type: "checksum" };

function collect(metrics: Metrics, role: Role): void {
  metrics.collectNats(() => ({ connected: true, writesInFlight: 3 }));
  if (role === "worker") {
    metrics.typesServed({ queue: ofTask.queue, types: [ofTask.type] });
    metrics.collectWorkers(() => [{ queue: ofTask.queue, slots: 8, busy: 5, heartbeatMs: Date.now() }]);
    return;
  }
  const byPriority = { high: 1, normal: 20, low: 3 };
  metrics.rpcMethods([
    { service: "taskwatch.v1.TaskService", method: "SubmitTask", type: "unary" },
    { service: "taskwatch.v1.TaskService", method: "WatchStatus", type: "server_stream" },
  ]);
  metrics.collectView(() => ({ appliedRevision: 1_000, proofAgeSeconds: 0.2, rows: 900, indexBytes: 4e6 }));
  metrics.collectQueues(() => [
    { queue: ofTask.queue, waiting: byPriority, running: byPriority, delayed: 2, dead: 1, oldestWaitingAgeSeconds: 4 },
  ]);
}

function exerciseApi(metrics: Metrics, tick: number): void {
  const call = { protocol: "grpc", service: "taskwatch.v1.TaskService", method: "SubmitTask" } as const;
  metrics.rpcStarted(call);
  metrics.rpcMessagesReceived(call);
  metrics.rpcMessagesSent(call);
  metrics.rpcHandled(call, { code: tick % 10 === 0 ? 14 : 0, seconds: (tick % 7) / 1_000 });
  metrics.taskSubmitted({ ...ofTask, result: "accepted" });
  metrics.natsWrite({ result: "ok", seconds: 0.001 });
  metrics.viewChangesApplied(3);
  if (tick === 1) metrics.watchOpened();
  metrics.watchMessagesSent("status", 2);
  metrics.watchLag((tick % 5) / 1_000);
}

function exerciseWorker(metrics: Metrics, tick: number): void {
  const failed = tick % 20 === 0;
  metrics.attemptStarted({ ...ofTask, waitSeconds: (tick % 9) / 10 });
  metrics.attemptEnded({ ...ofTask, outcome: failed ? "failed" : "succeeded", runSeconds: (tick % 11) / 10 });
  if (failed) metrics.taskRetried({ ...ofTask, code: "TIMEOUT" });
  else metrics.taskCompleted({ ...ofTask, outcome: "succeeded", totalSeconds: (tick % 13) / 10 });
  metrics.natsWrite({ result: failed ? "conflict" : "ok", seconds: 0.002 });
}

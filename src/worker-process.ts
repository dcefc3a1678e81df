/** A worker as a process of its own: with metrics and health on an admin port, if it is given one. */
import { parseListenAddress } from "./listen-address.ts";
import { startAdminServer } from "./telemetry/admin-server.ts";
import { createProcessMetrics, type Metrics } from "./telemetry/metrics.ts";
import { version } from "./version.ts";
import { createWorker, type Worker, type WorkerOptions } from "./worker/index.ts";

/** How a worker process is set up. */
export interface WorkerProcessOptions extends Omit<WorkerOptions, "observer" | "version" | "logger"> {
  readonly logger: NonNullable<WorkerOptions["logger"]>;
  /** The commit that was built, to be shown. Default "unknown". */
  readonly commit?: string | undefined;
  /** `host:port` of metrics and health. Unset: none are served. */
  readonly adminAddress?: string | undefined;
  /** Bearer token that `/metrics` asks for. */
  readonly adminToken?: string | undefined;
}

/** A worker that takes tasks, and what is served about it. */
export interface WorkerProcess extends AsyncDisposable {
  readonly worker: Worker;
  /** Where metrics and health are served, as bound. */
  readonly adminAddress: string | undefined;
}

/** Starts a worker. Rejects, with nothing left behind, as `Worker.start` does, and if the admin port cannot be listened on. */
export async function startWorkerProcess(options: WorkerProcessOptions): Promise<WorkerProcess> {
  await using starting = new AsyncDisposableStack();
  const metrics = createProcessMetrics({ roles: ["worker"], version, commit: options.commit ?? "unknown" });
  const nats = { ...(typeof options.nats === "string" ? { url: options.nats } : options.nats), observer: metrics };
  const worker = starting.use(createWorker({ ...options, nats, version, observer: metrics }));
  metrics.collectWorkers(() => [worker.figures()]);
  const adminAddress = await serveAdmin(starting, { ...options, metrics, worker });
  await worker.start();
  const kept = starting.move();
  return { worker, adminAddress, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function serveAdmin(
  resources: AsyncDisposableStack,
  parts: WorkerProcessOptions & { readonly metrics: Metrics; readonly worker: Worker },
): Promise<string | undefined> {
  const { adminAddress, adminToken, metrics, worker, logger } = parts;
  if (adminAddress === undefined) return undefined;
  const readiness = () => {
    const ok = worker.healthy();
    return { ready: ok, checks: { worker: { ok, detail: worker.state } } };
  };
  const token = adminToken === undefined ? {} : { metricsToken: adminToken };
  const address = parseListenAddress(adminAddress);
  const admin = resources.use(await startAdminServer({ ...address, ...token, metrics, readiness, logger }));
  return `${admin.host}:${admin.port}`;
}

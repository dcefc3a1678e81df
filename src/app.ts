/** The composition of the service: the only file that knows every part. */
import { readFile } from "node:fs/promises";

import type { Config } from "./config.ts";
import { TaskState } from "./gen/taskwatch/v1/task_pb.ts";
import { assertMayListen, parseListenAddress } from "./listen-address.ts";
import { connectNats, type Nats } from "./nats/connection.ts";
import { createJobs } from "./nats/jobs.ts";
import { readQueueFigures } from "./nats/queue-figures.ts";
import { createStatusRecords } from "./nats/records.ts";
import { openStore } from "./nats/store.ts";
import { createTaskOperations, type OperationsOfProcess } from "./operations/task-operations.ts";
import { createOpenPrincipals, loadPrincipals, type Principals } from "./rpc/access/principals.ts";
import { type Api, createApi } from "./rpc/api.ts";
import { createGrpcServer, type GrpcServer } from "./rpc/grpc/grpc-server.ts";
import { createHttpServer, type HttpServer } from "./rpc/http/http-server.ts";
import { type AdminServer, type Readiness, startAdminServer } from "./telemetry/admin-server.ts";
import type { QueueFigures } from "./telemetry/collectors.ts";
import type { Logger } from "./telemetry/logger.ts";
import { createProcessMetrics, type Metrics } from "./telemetry/metrics.ts";
import { version } from "./version.ts";
import { openView, type View } from "./view/view.ts";

/** The running service. */
export interface App {
  /** Where it listens, as bound. */
  readonly addresses: { readonly grpc: string; readonly http: string; readonly admin: string };
  /** Resolves when the view has caught up: from then on lists are complete, and load balancers may send calls. */
  readonly ready: Promise<void>;
  /** Resolves, with why, once it has lost NATS for good and can only be started anew. Pending for ever otherwise. */
  readonly failed: Promise<Error>;
  /**
   * Says that it is not ready, tells watchers to go elsewhere, lets calls that are under way finish for as long as the
   * configuration allows, and ends. Idempotent.
   */
  drain(): Promise<void>;
}

/** How long the view may take to catch up before that is called a failure. */
const catchUpLimitMs = 600_000;

/**
 * Starts the service. Rejects, with nothing left behind, if it must not listen where it is told to, cannot reach NATS, or finds a
 * server there that it cannot run on.
 */
export async function startApp(config: Config, logger: Logger): Promise<App> {
  await using starting = new AsyncDisposableStack();
  const principals = await openPrincipals(config, logger);
  starting.defer(() => principals.close());
  // Before anything is connected: a mistake of this kind is to be told at once.
  for (const address of [config.grpcAddress, config.httpAddress]) assertMayListen(address, principals);

  const metrics = createProcessMetrics({ roles: ["api"], version, commit: config.commit });
  const nats = starting.use(await connectNats({ ...natsOptions(config), observer: metrics }));
  const store = await openStore(nats, storeOptions(config, logger));
  const view = starting.use(
    openView({
      nats,
      epoch: store.epoch,
      inboxPrefix: config.natsInboxPrefix,
      observer: metrics,
      onTrouble: (what, detail) => logger.warn(what, { detail }),
    }),
  );
  const operations = createTaskOperations({
    store,
    view,
    jobs: createJobs(nats),
    records: createStatusRecords(nats),
    observer: metrics,
    nowMs: Date.now,
  });
  starting.defer(() => operations.close());
  const api = createApi({ operations, principals, observer: metrics, logger, ...apiLimits(config) });
  starting.defer(() => api.close());

  const tls = await readTls(config);
  const grpc = starting.use(await createGrpcServer({ api, address: config.grpcAddress, tls, serving: false }));
  const { corsOrigins } = config;
  const http = starting.use(await createHttpServer({ api, address: config.httpAddress, tls, corsOrigins }));
  const service = new Service({ config, nats, view, operations, api, grpc, http, principals });
  collect(metrics, { nats, view });
  const admin = starting.use(await startAdmin(config, { metrics, logger, readiness: () => service.readiness() }));
  const kept = starting.move();
  return service.run(admin, () => kept.disposeAsync());
}

interface Parts {
  readonly config: Config;
  readonly nats: Nats;
  readonly view: View;
  readonly operations: OperationsOfProcess;
  readonly api: Api;
  readonly grpc: GrpcServer;
  readonly http: HttpServer;
  readonly principals: Principals;
}

class Service {
  readonly #parts: Parts;
  #draining: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  readiness(): Readiness {
    const { nats, view } = this.#parts;
    const proofAgeMs = Math.round(performance.now() - view.provenMs);
    const checks = {
      nats: { ok: nats.connected, detail: nats.connected ? "connected" : "not connected" },
      view: {
        ok: view.isProven,
        detail: view.ready ? `revision ${view.appliedRevision}, proven ${proofAgeMs} ms ago` : "catching up",
      },
      drain: { ok: this.#draining === undefined, detail: this.#draining === undefined ? "no" : "draining" },
    };
    return { ready: Object.values(checks).every(({ ok }) => ok), checks };
  }

  run(admin: AdminServer, release: () => Promise<void>): App {
    const { grpc, http, nats, view } = this.#parts;
    // What health says follows readiness, so that balancers that ask either way agree.
    const health = setInterval(() => grpc.setServing(this.readiness().ready), 1_000).unref();
    const ready = view.whenReady({ timeoutMs: catchUpLimitMs }).then(() => grpc.setServing(this.readiness().ready));
    return {
      addresses: { grpc: grpc.address, http: http.address, admin: `${admin.host}:${admin.port}` },
      ready,
      failed: nats.closed.then((cause) => new Error("the connection to NATS was closed for good", { cause })),
      drain: () => {
        this.#draining ??= this.#drain(health, release);
        return this.#draining;
      },
    };
  }

  async #drain(health: NodeJS.Timeout, release: () => Promise<void>): Promise<void> {
    const { config, operations, grpc, http } = this.#parts;
    const graceMs = config.drainSeconds * 1_000;
    clearInterval(health);
    grpc.setServing(false);
    operations.goingAway();
    try {
      await Promise.all([grpc.drain(graceMs), http.drain(graceMs)]);
    } finally {
      await release();
    }
  }
}

function openPrincipals({ apiKeysFile }: Config, logger: Logger): Promise<Principals> | Principals {
  return apiKeysFile === undefined ? createOpenPrincipals() : loadPrincipals({ file: apiKeysFile, logger });
}

function natsOptions({ natsUrl, natsCredsFile, natsInboxPrefix }: Config) {
  return { url: natsUrl, name: "taskwatch-api", credsFile: natsCredsFile, inboxPrefix: natsInboxPrefix };
}

function storeOptions({ replicas, maxQueues, leaseSeconds }: Config, logger: Logger): Parameters<typeof openStore>[1] {
  return {
    replicas,
    maxQueues,
    leaseMs: leaseSeconds * 1_000,
    onDifference: (difference) => logger.warn("a setting on NATS is not as wanted", { ...difference }),
  };
}

function apiLimits({ maxWatches, maxWatchesPerPrincipal, callsPerSecond, maxCallsInFlight }: Config) {
  return {
    maxWatches,
    maxWatchesPerPrincipal,
    quotas: {
      ...(callsPerSecond === 0 ? {} : { callsPerSecond }),
      ...(maxCallsInFlight === 0 ? {} : { callsInFlight: maxCallsInFlight }),
    },
  };
}

async function readTls({ tlsCertFile, tlsKeyFile }: Config) {
  if (tlsCertFile === undefined || tlsKeyFile === undefined) return undefined;
  const [cert, key] = await Promise.all([readFile(tlsCertFile), readFile(tlsKeyFile)]);
  return { cert, key };
}

function startAdmin(
  { adminAddress, adminToken }: Config,
  parts: { readonly metrics: Metrics; readonly logger: Logger; readonly readiness: () => Readiness },
): Promise<AdminServer> {
  const token = adminToken === undefined ? {} : { metricsToken: adminToken };
  return startAdminServer({ ...parseListenAddress(adminAddress), ...parts, ...token });
}

function collect(metrics: Metrics, { nats, view }: { readonly nats: Nats; readonly view: View }): void {
  metrics.collectNats(() => ({ connected: nats.connected, writesInFlight: nats.publisher.inFlight }));
  metrics.collectView(() => view.figures());
  metrics.collectQueues(async () => {
    const delayed = delayedByQueue(view);
    return (await readQueueFigures(nats)).map(({ queue, waiting, running, others, oldestWaitingMs }): QueueFigures => {
      const waits = delayed.get(queue) ?? 0;
      const ageSeconds = oldestWaitingMs === undefined ? 0 : Math.max(0, Date.now() - oldestWaitingMs) / 1_000;
      return {
        queue,
        waiting,
        running,
        delayed: waits,
        dead: Math.max(0, others - waits),
        oldestWaitingAgeSeconds: ageSeconds,
      };
    });
  });
}

/** The stream does not tell delayed messages from dead letters without counting; the view has the counts. */
function delayedByQueue(view: View): ReadonlyMap<string, number> {
  const delayed = new Map<string, number>();
  for (const { queue, counts } of view.scopes()) {
    const waits = (counts.get(TaskState.SCHEDULED) ?? 0) + (counts.get(TaskState.RETRYING) ?? 0);
    delayed.set(queue, (delayed.get(queue) ?? 0) + waits);
  }
  return delayed;
}

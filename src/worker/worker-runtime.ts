import type { Jobs } from "../nats/jobs.ts";
import type { StatusRecords } from "../nats/records.ts";
import type { HandlerRegistry } from "./handler/handler-registry.ts";
import type { WorkerLogger } from "./worker-logger.ts";
import type { WorkerObserver } from "./worker-observer.ts";

/** What all attempts of a worker share. */
export interface WorkerRuntime {
  /** The name of the worker. */
  readonly name: string;
  readonly queue: string;
  readonly leaseMs: number;
  readonly records: StatusRecords;
  readonly jobs: Jobs;
  readonly handlers: HandlerRegistry;
  /** How long a handler may take to settle once it was told to stop. */
  readonly settleTimeoutMs: number;
  readonly progressIntervalMs: number;
  readonly observer: WorkerObserver | undefined;
  readonly logger: WorkerLogger | undefined;
  /** Aborted when no attempt is to be started any more. */
  readonly draining: AbortSignal;
  /** Aborted when what cannot be written now is to be left as it is. */
  readonly stopping: AbortSignal;
}

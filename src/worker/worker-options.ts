import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { pid } from "node:process";

import type { NatsOptions } from "../nats/connection.ts";
import type { StoreOptions } from "../nats/store.ts";
import type { Handler } from "./handler/handler.ts";
import type { WorkerLogger } from "./worker-logger.ts";
import type { WorkerObserver } from "./worker-observer.ts";

/** How a worker is set up. */
export interface WorkerOptions {
  /** Servers of NATS, such as `nats://127.0.0.1:4222`, or that and how to reach them. */
  readonly nats: string | WorkerNatsOptions;
  /** The queue to serve. */
  readonly queue: string;
  /** What to run, by type. Tasks of other types are given back, for a worker that knows them. */
  readonly handlers: Readonly<Record<string, Handler>>;
  /** How many tasks are run at once: 1 to 10,000, default 10. */
  readonly slots?: number;
  /** Shown in the attempts it runs; must be its own: 1 to 64 letters, digits, `_` and `-`. Default: host, process and chance. */
  readonly name?: string;
  /** The version of the software, to be shown. Default empty. */
  readonly version?: string;
  /** How long running attempts may go on when the worker drains, in ms. Default 20 s. */
  readonly drainTimeoutMs?: number;
  /** How long a handler may take to settle once its signal is aborted, in ms. Default 5 s. A request to cancel says it itself. */
  readonly settleTimeoutMs?: number;
  /** The shortest time between two writes of a task's progress, in ms: at least 10, default 200. */
  readonly progressIntervalMs?: number;
  /** How a queue is made that does not exist yet. Give what the service has. */
  readonly newQueue?: Pick<StoreOptions, "replicas" | "leaseMs" | "maxQueues">;
  /** Default: nothing is logged. */
  readonly logger?: WorkerLogger;
  readonly observer?: WorkerObserver;
}

/** How a worker reaches NATS. */
export type WorkerNatsOptions = Omit<NatsOptions, "name">;

/** The options, checked, every default filled in. */
export interface CompleteWorkerOptions extends Omit<
  Required<WorkerOptions>,
  "nats" | "logger" | "observer" | "newQueue"
> {
  readonly nats: NatsOptions;
  readonly newQueue: StoreOptions;
  readonly logger: WorkerLogger | undefined;
  readonly observer: WorkerObserver | undefined;
}

const namePattern = /^[A-Za-z0-9_-]{1,64}$/;
const maxTimeoutMs = 86_400_000;

/** Checks the options and fills in the defaults. Throws one `RangeError` that names everything that is wrong. */
export function completeWorkerOptions(options: WorkerOptions): CompleteWorkerOptions {
  const name = options.name ?? defaultName();
  const nats = typeof options.nats === "string" ? { url: options.nats } : options.nats;
  const complete = {
    nats: { ...nats, name },
    queue: options.queue,
    handlers: options.handlers,
    slots: options.slots ?? 10,
    name,
    version: options.version ?? "",
    drainTimeoutMs: options.drainTimeoutMs ?? 20_000,
    settleTimeoutMs: options.settleTimeoutMs ?? 5_000,
    progressIntervalMs: options.progressIntervalMs ?? 200,
    newQueue: options.newQueue ?? {},
    logger: options.logger,
    observer: options.observer,
  };
  const problems = problemsOf(complete);
  if (problems.length > 0) throw new RangeError(`worker options: ${problems.join("; ")}`);
  return complete;
}

function problemsOf(options: CompleteWorkerOptions): string[] {
  const { queue, handlers, name } = options;
  const problems: string[] = [];
  if (!namePattern.test(queue)) problems.push(`queue must be 1 to 64 letters, digits, "_" and "-", got "${queue}"`);
  if (!namePattern.test(name)) problems.push(`name must be 1 to 64 letters, digits, "_" and "-", got "${name}"`);
  const entries = Object.entries(handlers) as [string, unknown][];
  if (entries.length === 0) problems.push("handlers must hold at least one");
  for (const [type, handler] of entries) {
    if (typeof handler !== "function") problems.push(`handlers.${type} must be a function, got ${typeof handler}`);
  }
  problems.push(
    ...outside("slots", options.slots, [1, 10_000]),
    ...outside("drainTimeoutMs", options.drainTimeoutMs, [0, maxTimeoutMs]),
    ...outside("settleTimeoutMs", options.settleTimeoutMs, [0, maxTimeoutMs]),
    ...outside("progressIntervalMs", options.progressIntervalMs, [10, maxTimeoutMs]),
  );
  return problems;
}

function outside(option: string, value: number, [least, most]: readonly [number, number]): string[] {
  if (Number.isInteger(value) && value >= least && value <= most) return [];
  return [`${option} must be a whole number from ${least} to ${most}, got ${value}`];
}

function defaultName(): string {
  const host = hostname()
    .replaceAll(/[^A-Za-z0-9_-]+/g, "-")
    .slice(0, 40);
  return `${host}-${pid}-${randomBytes(3).toString("hex")}`;
}

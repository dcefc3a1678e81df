import { connectNats, type Nats } from "../nats/connection.ts";
import { followHints } from "../nats/hints.ts";
import { createJobPuller, type JobPuller } from "../nats/job-puller.ts";
import { createJobs } from "../nats/jobs.ts";
import { createPresence } from "../nats/presence.ts";
import { readQueueLeaseMs } from "../nats/queue-lease.ts";
import { createStatusRecords } from "../nats/records.ts";
import { openStore } from "../nats/store.ts";
import { AttemptPool } from "./attempt/attempt-pool.ts";
import { HandlerRegistry } from "./handler/handler-registry.ts";
import { type CompleteWorkerOptions, completeWorkerOptions, type WorkerOptions } from "./worker-options.ts";
import { WorkerPresence } from "./worker-presence.ts";
import type { WorkerRuntime } from "./worker-runtime.ts";

/** When a queue from which nothing is heard is looked after, and the worker is not healthy any more. */
const silenceMs = 15_000;
/** How often a queue that refuses is looked after. */
const mendEveryMs = 5_000;
/** How long a worker that stops tries to record what has become of its tasks. What is not recorded is found to be lost. */
const recordTimeoutMs = 10_000;

/** Where a worker is in its life. It goes through it once. */
export type WorkerState = "idle" | "starting" | "running" | "draining" | "stopped";

/** How a worker is doing. */
export interface WorkerFigures {
  readonly queue: string;
  readonly slots: number;
  readonly busy: number;
  /** When it last stored a sign of life, in ms since 1970; left out if it has not yet. */
  readonly heartbeatMs?: number;
}

/** Runs the tasks of one queue. */
export interface Worker extends AsyncDisposable {
  readonly name: string;
  readonly queue: string;
  readonly state: WorkerState;
  /** Resolves, with why, once it has lost NATS for good: then another one has to be started. Pending for ever otherwise. */
  readonly failed: Promise<Error>;
  /**
   * Connects, makes the queue if it does not exist, and begins to take tasks. Repeated calls are one. Throws if NATS cannot be
   * reached or is no server that Taskwatch runs on; then it may be called again.
   */
  start(): Promise<void>;
  /**
   * Takes no more tasks, lets the running ones finish for as long as the drain time-out allows, then stops as `stop` does.
   * Resolves when all is recorded and the connection is closed. Repeated calls are one.
   */
  drain(): Promise<void>;
  /**
   * Takes no more tasks, aborts the signals of the running ones, gives their handlers the settle time-out, and records what has
   * become of them: those that have not ended are run again, by another worker, if they have attempts left. Cuts a drain short.
   */
  stop(): Promise<void>;
  /** Whether tasks are taken, as far as is known: the connection stands and the queue was heard of lately. */
  healthy(): boolean;
  figures(): WorkerFigures;
  /** As `stop`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Makes a worker; `start` starts it. Throws a `RangeError` that names everything that is wrong with the options. */
export function createWorker(options: WorkerOptions): Worker {
  return new QueueWorker(completeWorkerOptions(options));
}

/** What a started worker holds. */
interface Parts {
  readonly nats: Nats;
  readonly pool: AttemptPool;
  readonly puller: JobPuller;
  readonly presence: WorkerPresence;
  readonly unfollowHints: () => void;
  readonly watch: NodeJS.Timeout;
}

class QueueWorker implements Worker {
  readonly #options: CompleteWorkerOptions;
  readonly #draining = new AbortController();
  readonly #stopping = new AbortController();
  readonly #failed = Promise.withResolvers<Error>();
  #state: WorkerState = "idle";
  #parts: Parts | undefined;
  #leaseMs = 0;
  #starting: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #refused = false;
  #mendMs = Number.NEGATIVE_INFINITY;

  constructor(options: CompleteWorkerOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get queue(): string {
    return this.#options.queue;
  }

  get state(): WorkerState {
    return this.#state;
  }

  get failed(): Promise<Error> {
    return this.#failed.promise;
  }

  start(): Promise<void> {
    if (this.#ending !== undefined)
      return Promise.reject(new Error("worker has been stopped, and is not started again"));
    this.#starting ??= this.#start();
    return this.#starting;
  }

  drain(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    return this.drain();
  }

  healthy(): boolean {
    if (this.#state !== "running" || this.#parts === undefined) return false;
    return this.#parts.nats.connected && this.#parts.puller.silentMs < silenceMs;
  }

  figures(): WorkerFigures {
    const { queue, slots } = this.#options;
    const heartbeatMs = this.#parts?.presence.announcedMs;
    const busy = this.#parts?.pool.busy ?? 0;
    return { queue, slots, busy, ...(heartbeatMs === undefined ? {} : { heartbeatMs }) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #start(): Promise<void> {
    this.#state = "starting";
    let nats: Nats | undefined;
    try {
      nats = await connectNats(this.#options.nats);
      await this.#ensureQueue(nats);
      this.#parts = this.#assemble(nats);
      this.#state = "running";
      this.#options.logger?.info("worker started", { ...this.#fields(), leaseMs: this.#leaseMs });
    } catch (error) {
      await nats?.[Symbol.asyncDispose]();
      this.#state = "idle";
      this.#starting = undefined;
      throw error;
    }
  }

  #assemble(nats: Nats): Parts {
    const { queue, slots, name, version, nats: natsOptions, logger, observer } = this.#options;
    const runtime = this.#runtime(nats);
    const { types } = runtime.handlers;
    observer?.typesServed({ queue, types });
    const why = "the connection to NATS was closed for good";
    void nats.closed.then((cause) => this.#failed.resolve(new Error(why, { cause })));
    const pool = new AttemptPool({ runtime, slots, onFree: () => puller.offer() });
    const puller = createJobPuller({
      nats,
      queue,
      capacity: () => pool.free,
      onDelivery: (delivery) => pool.accept(delivery),
      onTrouble: (what, detail) => this.#onPullTrouble(what, detail),
      inboxPrefix: natsOptions.inboxPrefix,
      leaseMs: this.#leaseMs,
    });
    const presence = new WorkerPresence({
      presence: createPresence(nats),
      name,
      queue,
      types,
      slots,
      version,
      busy: () => pool.busy,
      onTrouble: (error) => logger?.debug("presence could not be told", { ...this.#fields(), error }),
    });
    return {
      nats,
      pool,
      puller,
      presence,
      unfollowHints: followHints(nats, queue, (key) => pool.look(key)),
      // The connection keeps the process alive, or nothing does.
      watch: setInterval(() => void this.#mend(), 1_000).unref(),
    };
  }

  #runtime(nats: Nats): WorkerRuntime {
    const { name, queue, handlers, settleTimeoutMs, progressIntervalMs, observer, logger } = this.#options;
    const leaseMs = () => this.#leaseMs;
    return {
      name,
      queue,
      get leaseMs() {
        return leaseMs();
      },
      records: createStatusRecords(nats),
      jobs: createJobs(nats),
      handlers: new HandlerRegistry(handlers),
      settleTimeoutMs,
      progressIntervalMs,
      observer,
      logger,
      draining: this.#draining.signal,
      stopping: this.#stopping.signal,
    };
  }

  async #ensureQueue(nats: Nats): Promise<void> {
    const { queue, newQueue, logger } = this.#options;
    const store = await openStore(nats, {
      ...newQueue,
      // What is there is what counts; the service says what it wants.
      onDifference: (difference) => logger?.debug("a setting on NATS is not the default", { ...difference }),
    });
    await store.queue(queue);
    this.#leaseMs = await readQueueLeaseMs(nats, queue);
  }

  #onPullTrouble(what: string, detail: string): void {
    this.#refused = true;
    this.#options.logger?.debug(what, { ...this.#fields(), detail });
  }

  /** The queue, or a consumer of it, may have been removed: makes sure that it is there when nothing is heard of it. */
  async #mend(): Promise<void> {
    const { nats, puller } = this.#parts ?? {};
    if (this.#state !== "running" || nats?.connected !== true || puller === undefined) return;
    const nowMs = performance.now();
    const isDue = this.#refused || puller.silentMs > silenceMs;
    if (!isDue || nowMs - this.#mendMs < mendEveryMs) return;
    this.#mendMs = nowMs;
    this.#refused = false;
    try {
      await this.#ensureQueue(nats);
      this.#options.logger?.info("made sure of the queue, which could not be heard", this.#fields());
      puller.offer();
    } catch (error) {
      this.#refused = true;
      this.#options.logger?.warn("queue cannot be reached", { ...this.#fields(), error });
    }
  }

  async #end(): Promise<void> {
    // Whether it could be started is told to who started it.
    await this.#starting?.catch(() => undefined);
    this.#state = "draining";
    if (this.#parts !== undefined) await this.#drainParts(this.#parts);
    this.#state = "stopped";
    this.#options.logger?.info("worker stopped", this.#fields());
  }

  async #drainParts({ nats, pool, puller, presence, unfollowHints, watch }: Parts): Promise<void> {
    clearInterval(watch);
    this.#draining.abort();
    this.#options.logger?.info("worker drains", { ...this.#fields(), busy: pool.busy });
    const drainTimer = setTimeout(() => this.#stopping.abort(), this.#options.drainTimeoutMs);
    // What is on its way is given back while the rest goes on; the connection reads it all before it closes.
    void puller.stop();
    await this.#untilEmpty(pool);
    clearTimeout(drainTimer);
    unfollowHints();
    await presence.stop();
    await nats[Symbol.asyncDispose]();
  }

  /** Waits for all attempts to be recorded; once the worker stops, for no longer than that may take on a NATS that answers. */
  async #untilEmpty(pool: AttemptPool): Promise<void> {
    const { signal } = this.#stopping;
    const { promise: givenUp, resolve: giveUp } = Promise.withResolvers<void>();
    let timer: NodeJS.Timeout | undefined;
    const hurry = () => {
      pool.abortAll("draining");
      timer = setTimeout(giveUp, this.#options.settleTimeoutMs + recordTimeoutMs);
    };
    if (signal.aborted) hurry();
    else signal.addEventListener("abort", hurry, { once: true });
    await Promise.race([pool.whenEmpty(), givenUp]);
    clearTimeout(timer);
    signal.removeEventListener("abort", hurry);
  }

  #fields(): { readonly worker: string; readonly queue: string } {
    return { worker: this.name, queue: this.queue };
  }
}

import type { JobDelivery } from "../../nats/job-delivery.ts";
import type { TaskKey } from "../../task/task-id.ts";
import type { WorkerRuntime } from "../worker-runtime.ts";
import type { AbortCause } from "./attempt-aborted.ts";
import { Attempt } from "./attempt.ts";
import { claimTask } from "./claim-task.ts";
import { type OpenedJob, openJob } from "./opened-job.ts";

/** What a pool needs. */
export interface AttemptPoolOptions {
  readonly runtime: WorkerRuntime;
  /** How many jobs it works on at once. */
  readonly slots: number;
  /** Called when a slot has become free. */
  readonly onFree: () => void;
}

/**
 * The slots of a worker and what is in them. A slot is taken from the delivery of a job until nothing of it is left: its outcome
 * recorded, and its handler at its end.
 */
export class AttemptPool {
  readonly #options: AttemptPoolOptions;
  /** By the suffix of their tasks, which is as good as unique. */
  readonly #attempts = new Map<string, Attempt>();
  /** Jobs whose attempts are not recorded yet, or that have none yet. */
  #open = 0;
  #busy = 0;
  #onEmpty: (() => void) | undefined;

  constructor(options: AttemptPoolOptions) {
    this.#options = options;
  }

  /** How many slots are taken. */
  get busy(): number {
    return this.#busy;
  }

  /** How many slots are free. */
  get free(): number {
    return this.#options.slots - this.#busy;
  }

  /** Works on a job. The caller has seen to it that a slot is free. */
  accept(delivery: JobDelivery): void {
    void this.#work(delivery);
  }

  /** There may be something to see in the record of a task. */
  look(key: TaskKey): void {
    this.#attempts.get(key.suffix)?.look();
  }

  /** Tells all handlers to stop. */
  abortAll(why: AbortCause): void {
    for (const attempt of this.#attempts.values()) attempt.abort(why);
  }

  /**
   * Resolves when the outcome of every attempt is recorded, or has been given up. For one caller, once nothing more is
   * accepted.
   */
  async whenEmpty(): Promise<void> {
    if (this.#open === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    await promise;
  }

  async #work(delivery: JobDelivery): Promise<void> {
    this.#busy += 1;
    this.#open += 1;
    let attempt: Attempt | undefined;
    try {
      attempt = await this.#start(delivery);
      await attempt?.run();
    } catch (error) {
      this.#options.runtime.logger?.warn("job is left alone", { suffix: delivery.key.suffix, error });
    }
    this.#open -= 1;
    if (this.#open === 0) this.#onEmpty?.();
    if (attempt !== undefined) await this.#finish(delivery.key, attempt);
    this.#busy -= 1;
    this.#options.onFree();
  }

  async #start(delivery: JobDelivery): Promise<Attempt | undefined> {
    const { runtime } = this.#options;
    if (runtime.draining.aborted) {
      delivery.giveBack(0);
      return undefined;
    }
    const opened = openJob(delivery);
    const handler = runtime.handlers.find(opened.fixed.type);
    if (handler === undefined) {
      this.#returnStranger(opened);
      return undefined;
    }
    const claimed = await claimTask(runtime, opened);
    if (claimed === undefined) return undefined;
    const attempt = new Attempt({ runtime, opened, claimed, handler });
    this.#attempts.set(delivery.key.suffix, attempt);
    // All others were told at that moment.
    if (runtime.stopping.aborted) attempt.abort("draining");
    return attempt;
  }

  async #finish({ suffix }: TaskKey, attempt: Attempt): Promise<void> {
    await attempt.handlerSettled;
    // A task that was lost and came back has a newer attempt here.
    if (this.#attempts.get(suffix) === attempt) this.#attempts.delete(suffix);
  }

  /** Gives back a task that another worker may know, after a while, so that it does not go in circles. */
  #returnStranger({ delivery, fixed: { type } }: OpenedJob): void {
    const { handlers, logger } = this.#options.runtime;
    delivery.giveBack(1_000 + Math.random() * 4_000);
    if (handlers.noteStranger(type)) logger?.warn("no handler for tasks of this type", { type });
  }
}

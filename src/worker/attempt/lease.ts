/**
 * How an attempt keeps its task, and how it learns that it has not.
 *
 * The lease is the ack wait of the job's consumer, and only the NATS server judges it: when nothing was heard of a delivered
 * job for that long, the job is delivered again, and whoever gets it takes the task over by replacing its record. So an
 * attempt must do two things every third of the lease:
 *
 * - extend the delivery, which starts the ack wait anew. Nothing confirms it, and it proves nothing;
 * - write the record at the revision that it wrote last. That one write shows viewers that the attempt is alive, finds out
 *   whether the task is still its own, and finds a request to cancel. A progress report is such a write too, and stands in for it.
 *
 * One such write is under way at a time, so that each knows the revision of the one before; what is due meanwhile is gathered, and
 * the latest progress wins. How a write may end:
 *
 * - written: the lease is confirmed as of the moment the write was sent;
 * - conflict, and the record still names this attempt: somebody has asked to cancel it. Its revision is adopted;
 * - conflict, and the record has ended or names another attempt: the lease is lost. From here on nothing is written,
 *   acknowledged, given back or extended, because the job may be somebody else's;
 * - unknown, or not possible now: tried again with the next beat. When nothing was confirmed for a lease less 2 s (of a
 *   short one, less a third), the handler is told to stop while the task is still its own, in case it will not be.
 *
 * Without hints, a request to cancel is seen with the next beat; a hint makes the attempt read its record at once.
 */
import { type Progress, TaskState } from "../../gen/taskwatch/v1/task_pb.ts";
import { WriteConflict } from "../../nats/errors.ts";
import type { JobDelivery } from "../../nats/job-delivery.ts";
import type { StatusRecords } from "../../nats/records.ts";
import { heartbeat, reportProgress } from "../../task/lifecycle.ts";
import type { Task } from "../../task/task.ts";
import { newToken } from "../../task/write-token.ts";
import type { ProgressReporter } from "./progress.ts";

/** What a lease needs. */
export interface LeaseOptions {
  readonly records: Pick<StatusRecords, "read" | "write">;
  readonly delivery: Pick<JobDelivery, "extend">;
  /** As claimed. */
  readonly task: Task;
  /** When the claim was sent, in ms of the monotonic clock. */
  readonly claimedMs: number;
  readonly leaseMs: number;
  readonly progress: ProgressReporter;
  readonly events: LeaseEvents;
}

/** What an attempt is told by its lease. */
export interface LeaseEvents {
  /** Somebody has asked to cancel the task. May be told more than once. */
  onCancelRequested(task: Task): void;
  /** Nothing was confirmed for so long that the lease may run out. It has not been lost as far as is known. */
  onUnconfirmed(): void;
  /** The task is not this attempt's any more. Told once. */
  onLost(): void;
  /** A write found the record moved. */
  onConflict(): void;
  /** A sign of life could not be given; it is tried again. */
  onTrouble(error: unknown): void;
}

/** The lease of one attempt. */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #attemptToken: bigint;
  #task: Task;
  #lastProgress: Progress | undefined;
  #lost = false;
  #quiet = false;
  #beatTimer: NodeJS.Timeout | undefined;
  #unconfirmedTimer: NodeJS.Timeout | undefined;
  #confirmedMs: number;
  #beatDue = false;
  #progressDue = false;
  #lookDue = false;
  #working = false;
  #work: Promise<void> = Promise.resolve();

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#task = options.task;
    this.#attemptToken = options.task.head.attemptToken;
    this.#confirmedMs = options.claimedMs;
  }

  /** The task as this attempt wrote or adopted it last; once quiet, with the progress that was not written any more. */
  get task(): Task {
    const progress = this.#lastProgress;
    return progress === undefined ? this.#task : { ...this.#task, mutable: { ...this.#task.mutable, progress } };
  }

  /** Whether the task is another's, as far as is known. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Starts giving signs of life. */
  start(): void {
    this.#beatTimer = setInterval(() => this.#beat(), this.#options.leaseMs / 3);
    this.#confirm(this.#confirmedMs);
  }

  /** There is progress to be shown. */
  showProgress(): void {
    this.#progressDue = true;
    this.#startWork();
  }

  /** There may be something to see in the record. */
  look(): void {
    this.#lookDue = true;
    this.#startWork();
  }

  /**
   * Writes nothing more, and resolves when no write is under way: the record is then the caller's to write. The delivery is
   * extended until `stop`.
   */
  async quiesce(): Promise<void> {
    this.#quiet = true;
    await this.#work;
    this.#lastProgress = this.#options.progress.take();
  }

  /**
   * Takes note of the record as found when a write conflicted, reading it if that could not be found out. Returns whether the
   * task is still this attempt's. Throws as `StatusRecords.read`.
   */
  async adopt(found: Task | undefined): Promise<boolean> {
    const current = found ?? (await this.#options.records.read(this.#task.key));
    if (current !== undefined && this.#isOurs(current)) {
      this.#task = current;
      if (current.head.state === TaskState.CANCELLING) this.#options.events.onCancelRequested(current);
      return true;
    }
    if (!this.#lost) {
      this.#lost = true;
      this.stop();
      this.#options.events.onLost();
    }
    return false;
  }

  /** Gives no more signs of life. */
  stop(): void {
    this.#quiet = true;
    clearInterval(this.#beatTimer);
    clearTimeout(this.#unconfirmedTimer);
  }

  #isOurs({ head }: Task): boolean {
    if (head.attemptToken !== this.#attemptToken) return false;
    return head.state === TaskState.RUNNING || head.state === TaskState.CANCELLING;
  }

  #beat(): void {
    this.#options.delivery.extend();
    // A progress report that was written lately was as good a sign of life.
    this.#beatDue = performance.now() - this.#confirmedMs > this.#options.leaseMs / 6;
    this.#progressDue = true;
    this.#startWork();
  }

  #confirm(sentMs: number): void {
    const { leaseMs, events } = this.#options;
    this.#confirmedMs = sentMs;
    clearTimeout(this.#unconfirmedTimer);
    if (this.#quiet) return;
    const patienceMs = leaseMs - Math.min(2_000, leaseMs / 3);
    const leftMs = Math.max(0, patienceMs - (performance.now() - sentMs));
    this.#unconfirmedTimer = setTimeout(() => events.onUnconfirmed(), leftMs);
  }

  #startWork(): void {
    if (this.#working || this.#quiet) return;
    this.#working = true;
    this.#work = this.#workOff();
  }

  async #workOff(): Promise<void> {
    try {
      while (!this.#quiet && (await this.#workOnce()));
    } finally {
      this.#working = false;
    }
  }

  /** Does one thing that is due. Returns whether there was one. */
  async #workOnce(): Promise<boolean> {
    if (this.#lookDue) {
      this.#lookDue = false;
      await this.#lookNow();
      return true;
    }
    const isProgressDue = this.#progressDue;
    this.#progressDue = false;
    const isShown = isProgressDue && (await this.#writeProgress());
    if (isShown) return true;
    if (!this.#beatDue) return false;
    const { leaseMs } = this.#options;
    await this.#write(heartbeat(this.#task, { leaseMs, nowMs: Date.now() }));
    return true;
  }

  async #writeProgress(): Promise<boolean> {
    const { progress: reporter, leaseMs } = this.#options;
    const progress = reporter.take();
    if (progress === undefined) return false;
    const isWritten = await this.#write(reportProgress(this.#task, { progress, leaseMs, nowMs: Date.now() }));
    if (!isWritten) reporter.restore();
    return true;
  }

  async #write(draft: Parameters<StatusRecords["write"]>[0]): Promise<boolean> {
    const { records, events } = this.#options;
    const sentMs = performance.now();
    this.#beatDue = false;
    try {
      this.#task = await records.write(draft, newToken());
      this.#confirm(sentMs);
      return true;
    } catch (error) {
      if (error instanceof WriteConflict) {
        events.onConflict();
        await this.#tryToAdopt(error.current);
      } else {
        events.onTrouble(error);
      }
      return false;
    }
  }

  async #lookNow(): Promise<void> {
    try {
      const found = await this.#options.records.read(this.#task.key);
      if (found?.revision !== this.#task.revision) await this.adopt(found);
    } catch (error) {
      this.#options.events.onTrouble(error);
    }
  }

  async #tryToAdopt(found: Task | undefined): Promise<void> {
    try {
      await this.adopt(found);
    } catch (error) {
      this.#options.events.onTrouble(error);
    }
  }
}

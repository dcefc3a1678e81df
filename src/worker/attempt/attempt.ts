import { timestampMs, durationMs } from "@bufbuild/protobuf/wkt";

import { type Task, taskIdOf } from "../../task/task.ts";
import type { Handler, TaskContext } from "../handler/handler.ts";
import type { WorkerRuntime } from "../worker-runtime.ts";
import { type AbortCause, AttemptAborted } from "./attempt-aborted.ts";
import { AttemptContext } from "./attempt-context.ts";
import type { ClaimedTask } from "./claim-task.ts";
import { payloadFromContent } from "./content.ts";
import { Lease, type LeaseEvents } from "./lease.ts";
import type { OpenedJob } from "./opened-job.ts";
import { outcomeOf } from "./outcome.ts";
import { ProgressReporter } from "./progress.ts";
import { recordOutcome } from "./record-outcome.ts";
import { reportAttempt } from "./report.ts";
import { failure, type Settlement, settlementFromReturn, settlementFromThrow } from "./settlement.ts";

/** The longest time that a timer takes. */
const maxTimerMs = 2 ** 31 - 1;

/** What an attempt needs. */
export interface AttemptOptions {
  readonly runtime: WorkerRuntime;
  readonly opened: OpenedJob;
  readonly claimed: ClaimedTask;
  readonly handler: Handler;
}

/**
 * One attempt, from its claim until its outcome is recorded, or is nobody's business any more because the task is another's.
 *
 * A handler that was told to stop has a while to settle: the grace of a request to cancel, else the worker's settle time-out. After
 * that the attempt is recorded without it, and `handlerSettled` tells when it has come to its end.
 */
export class Attempt {
  readonly #options: AttemptOptions;
  readonly #lease: Lease;
  readonly #progress: ProgressReporter;
  readonly #over = Promise.withResolvers<void>();
  #handlerSettled: Promise<void> = Promise.resolve();
  #controller: AbortController | undefined;
  #aborted: AttemptAborted | undefined;
  #settlement: Settlement | undefined;
  #isOver = false;
  #limitTimer: NodeJS.Timeout | undefined;
  #settleTimer: NodeJS.Timeout | undefined;
  #settleByMs = Number.POSITIVE_INFINITY;

  constructor(options: AttemptOptions) {
    const { runtime, opened, claimed } = options;
    this.#options = options;
    this.#progress = new ProgressReporter({
      intervalMs: runtime.progressIntervalMs,
      onDue: () => this.#lease.showProgress(),
    });
    this.#lease = new Lease({
      records: runtime.records,
      delivery: opened.delivery,
      ...claimed,
      leaseMs: runtime.leaseMs,
      progress: this.#progress,
      events: this.#leaseEvents(),
    });
  }

  /** Resolves once the handler has returned or thrown. */
  get handlerSettled(): Promise<void> {
    return this.#handlerSettled;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  /** Runs the handler and records how it ended. Never rejects. */
  async run(): Promise<void> {
    this.#handlerSettled = this.#runHandler();
    this.#lease.start();
    this.#watchLimits();
    await this.#over.promise;
    clearTimeout(this.#limitTimer);
    clearTimeout(this.#settleTimer);
    this.#progress.close();
    if (!this.#lease.lost) await this.#record();
    this.#lease.stop();
  }

  /** Tells the handler to stop; how long it has for that is `settleMs`. The first reason stands, and the shortest time. */
  abort(why: AbortCause, settleMs: number = this.#options.runtime.settleTimeoutMs): void {
    if (this.#isOver) return;
    const settleByMs = performance.now() + Math.min(settleMs, maxTimerMs);
    if (settleByMs < this.#settleByMs) {
      this.#settleByMs = settleByMs;
      clearTimeout(this.#settleTimer);
      this.#settleTimer = setTimeout(() => this.#giveUp(), settleByMs - performance.now());
    }
    if (this.#aborted !== undefined) return;
    this.#aborted = new AttemptAborted(why);
    clearTimeout(this.#limitTimer);
    this.#controller?.abort(this.#aborted);
  }

  /** There may be something to see in the record. */
  look(): void {
    this.#lease.look();
  }

  async #runHandler(): Promise<void> {
    this.#settlement = await this.#settle();
    this.#end();
  }

  async #settle(): Promise<Settlement> {
    const { opened, claimed, handler } = this.#options;
    if (this.#aborted !== undefined) return settlementFromThrow(this.#aborted);
    let payload: TaskContext["payload"];
    try {
      if (!opened.isReadable) return failure("INVALID_PAYLOAD", "the job cannot be decoded", false);
      payload = payloadFromContent(opened.job.payload);
    } catch {
      return failure("INVALID_PAYLOAD", "the payload is no JSON value", false);
    }
    try {
      const progress = this.#progress.report.bind(this.#progress);
      const context = new AttemptContext(this, { opened, task: claimed.task, payload, progress });
      return settlementFromReturn(await handler(context));
    } catch (error) {
      return settlementFromThrow(error);
    }
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#over.resolve();
  }

  #giveUp(): void {
    this.#options.runtime.logger?.warn("handler did not stop when it was told to", this.#fields());
    this.#end();
  }

  #watchLimits(): void {
    const { opened, claimed } = this.#options;
    const { timeout } = opened.job;
    const { deadline } = opened.fixed;
    const nowMs = performance.now();
    const timeoutMs =
      timeout === undefined ? Number.POSITIVE_INFINITY : durationMs(timeout) - (nowMs - claimed.claimedMs);
    const deadlineMs = deadline === undefined ? Number.POSITIVE_INFINITY : timestampMs(deadline) - Date.now();
    const limitMs = Math.min(timeoutMs, deadlineMs);
    if (limitMs === Number.POSITIVE_INFINITY) return;
    this.#limitTimer = setTimeout(
      () => {
        if (limitMs > maxTimerMs) this.#watchLimits();
        else this.abort(deadlineMs <= timeoutMs ? "deadline" : "timeout");
      },
      Math.min(Math.ceil(limitMs), maxTimerMs),
    );
  }

  async #record(): Promise<void> {
    const { runtime, opened, claimed } = this.#options;
    await this.#lease.quiesce();
    if (this.#lease.lost) return;
    try {
      const task = await recordOutcome({
        runtime,
        opened,
        lease: this.#lease,
        decide: (current) => this.#decide(current),
        onTrouble: (error) => runtime.logger?.warn("retry is not arranged yet", { ...this.#fields(), error }),
      });
      if (task === undefined) return;
      reportAttempt(runtime, opened, { task, runSeconds: (performance.now() - claimed.claimedMs) / 1_000 });
    } catch (error) {
      runtime.logger?.warn("outcome of an attempt is not recorded", { ...this.#fields(), error });
    }
  }

  #decide(task: Task): ReturnType<typeof outcomeOf> {
    return outcomeOf({
      state: task.head.state,
      attempt: task.head.attempt,
      policy: this.#options.opened.policy,
      aborted: this.#aborted?.why,
      settlement: this.#settlement,
      random: Math.random(),
    });
  }

  #leaseEvents(): LeaseEvents {
    const { runtime } = this.#options;
    const { queue, observer, logger } = runtime;
    return {
      onCancelRequested: ({ mutable: { cancellation } }) =>
        this.abort("cancelled", cancellation?.grace === undefined ? 0 : durationMs(cancellation.grace)),
      onUnconfirmed: () => {
        logger?.warn("lease cannot be confirmed", this.#fields());
        this.abort("lease_lost");
      },
      onLost: () => {
        observer?.leaseLost({ queue });
        observer?.writeFenced({ queue });
        logger?.warn("lease lost", this.#fields());
        this.abort("lease_lost");
        this.#end();
      },
      onConflict: () => observer?.recordConflict("attempt"),
      onTrouble: (error) => logger?.debug("sign of life failed", { ...this.#fields(), error }),
    };
  }

  #fields(): Readonly<Record<string, unknown>> {
    const { opened, claimed } = this.#options;
    return { taskId: taskIdOf(claimed.task), type: opened.fixed.type, attempt: claimed.task.head.attempt };
  }
}

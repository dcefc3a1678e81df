/**
 * Submits that are made in the same turn of the event loop travel together: one call costs little more than one task.
 *
 * A call carries up to 1,000 tasks and 768 KiB of them. A few calls may be under way at once; what comes meanwhile waits
 * and makes the next calls fuller. Where the service could not be reached, or did not answer in time, for a whole call or
 * for single tasks of it, the tasks are sent again after a pause: each has a request id, so none becomes two.
 */
import { randomUUID } from "node:crypto";

import { TaskService } from "../../gen/taskwatch/v1/task_service_pb.ts";
import { type CallPolicy, pauseBeforeRepeat } from "../call.ts";
import { clientClosed, TaskwatchError, toTaskwatchError, withMetadata } from "../taskwatch-error.ts";
import type { Transport } from "../transport.ts";
import { SubmissionEncoder } from "./submission-encoder.ts";
import type { Submission, SubmittedTask } from "./submission.ts";
import { readAnswer, readAnswers } from "./submit-answer.ts";
import { frameRequests, itemOverheadBytes } from "./submit-frame.ts";

/** The bounds of a batcher. */
export interface BatchLimits {
  /** Tasks of one call. At most 1,000, which is what the service takes. */
  readonly maxItems: number;
  /** Bytes of one call; a single task that is larger goes by itself. */
  readonly maxBytes: number;
  /** Calls under way at once. */
  readonly maxCalls: number;
  /**
   * Bytes of tasks that have no answer yet, whether they wait to be sent, are under way or wait to be sent again; a submit
   * beyond fails with CLIENT_QUEUE_FULL.
   */
  readonly maxQueuedBytes: number;
}

/** What suits a client that does not know better. */
export const defaultBatchLimits: BatchLimits = {
  maxItems: 1_000,
  maxBytes: 768 * 1024,
  maxCalls: 8,
  maxQueuedBytes: 256 * 1024 * 1024,
};

interface Entry {
  /** Empty once it is settled. */
  bytes: Uint8Array;
  readonly requestId: string;
  readonly giveUpAtMs: number;
  failures: number;
  settled: boolean;
  resolve: (task: SubmittedTask) => void;
  reject: (error: Error) => void;
}

const noBytes = new Uint8Array(0);

/** Gathers submits into calls. */
export class SubmitBatcher {
  readonly #transport: Transport;
  readonly #policy: CallPolicy;
  readonly #limits: BatchLimits;
  readonly #encoder = new SubmissionEncoder();
  #queue: Entry[] = [];
  /** How many at the front of the queue are gone already: taking the first of a long array is dear. */
  #taken = 0;
  /** Of all entries that are not settled, wherever they are. */
  #unsettledBytes = 0;
  #calls = 0;
  #immediate: NodeJS.Immediate | undefined;
  /** Tasks that wait for their pause to end, with what ends it early. */
  readonly #paused = new Map<readonly Entry[], () => void>();
  #closed = false;

  constructor(transport: Transport, policy: CallPolicy, limits: BatchLimits = defaultBatchLimits) {
    this.#transport = transport;
    this.#policy = policy;
    this.#limits = limits;
  }

  /** Rejects with a `TaskwatchError` that carries the `request_id`, or with the signal's reason. */
  submit(submission: Submission, signal?: AbortSignal): Promise<SubmittedTask> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw clientClosed();
      if (signal?.aborted) throw signal.reason;
      // Without one, sending it again might make a second task.
      const requestId = submission.requestId === "" ? randomUUID() : (submission.requestId ?? randomUUID());
      const bytes = this.#encoder.encode(submission, requestId);
      if (this.#unsettledBytes + bytes.length > this.#limits.maxQueuedBytes)
        throw queueFull(this.#limits.maxQueuedBytes);
      const giveUpAtMs = this.#policy.clock.nowMs() + this.#policy.retryBudgetMs;
      const entry: Entry = { bytes, requestId, giveUpAtMs, failures: 0, settled: false, resolve, reject };
      if (signal !== undefined) obey(signal, entry, () => this.#settle(entry));
      this.#unsettledBytes += bytes.length;
      this.#queue.push(entry);
      this.#immediate ??= setImmediate(() => {
        this.#immediate = undefined;
        this.#pump();
      });
    });
  }

  /** Fails what waits. What is under way is the transport's to fail. */
  close(): void {
    this.#closed = true;
    clearImmediate(this.#immediate);
    const waiting = [...this.#queue.slice(this.#taken), ...[...this.#paused.keys()].flat()];
    for (const endPause of this.#paused.values()) endPause();
    this.#paused.clear();
    this.#queue = [];
    this.#taken = 0;
    for (const entry of waiting) this.#fail(entry, clientClosed());
  }

  #pump(): void {
    while (this.#calls < this.#limits.maxCalls) {
      const batch = this.#take();
      if (batch.length === 0) return;
      void this.#send(batch);
    }
  }

  #take(): Entry[] {
    const batch: Entry[] = [];
    let bytes = 0;
    for (; this.#taken < this.#queue.length && batch.length < this.#limits.maxItems; this.#taken += 1) {
      const entry = this.#queue[this.#taken];
      if (entry === undefined) break;
      const itemBytes = entry.bytes.length + itemOverheadBytes;
      if (!entry.settled && batch.length > 0 && bytes + itemBytes > this.#limits.maxBytes) break;
      if (entry.settled) continue;
      batch.push(entry);
      bytes += itemBytes;
    }
    if (this.#taken * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#taken);
      this.#taken = 0;
    }
    return batch;
  }

  async #send(batch: readonly Entry[]): Promise<void> {
    this.#calls += 1;
    let failed: [Entry, TaskwatchError][];
    try {
      failed = this.#accept(batch, await this.#call(batch));
    } catch (error) {
      failed = batch.map((entry) => [entry, toTaskwatchError(error)]);
    }
    this.#calls -= 1;
    this.#repeatOrFail(failed);
    this.#pump();
  }

  async #call(batch: readonly Entry[]): Promise<readonly (SubmittedTask | TaskwatchError)[]> {
    const options = { timeoutMs: this.#policy.timeoutMs };
    const [first] = batch;
    // A task by itself is answered with more about what is wrong with it.
    if (batch.length === 1 && first !== undefined) {
      return [readAnswer(await this.#transport.unaryBytes(TaskService.method.submitTask, first.bytes, options))];
    }
    const request = frameRequests(batch.map(({ bytes }) => bytes));
    return readAnswers(await this.#transport.unaryBytes(TaskService.method.submitTasks, request, options));
  }

  /** Resolves what was accepted and returns the rest. */
  #accept(batch: readonly Entry[], results: readonly (SubmittedTask | TaskwatchError)[]): [Entry, TaskwatchError][] {
    const failed: [Entry, TaskwatchError][] = [];
    for (const [index, entry] of batch.entries()) {
      const result = results[index] ?? noResult();
      if (result instanceof TaskwatchError) {
        failed.push([entry, result]);
      } else {
        this.#settle(entry);
        entry.resolve(result);
      }
    }
    return failed;
  }

  #fail(entry: Entry, error: TaskwatchError): void {
    if (entry.settled) return;
    this.#settle(entry);
    entry.reject(withMetadata(error, { request_id: entry.requestId }));
  }

  /** It may stay in the queue for a while, but what was to be sent goes at once, and makes room. */
  #settle(entry: Entry): void {
    entry.settled = true;
    this.#unsettledBytes -= entry.bytes.length;
    entry.bytes = noBytes;
  }

  /** Tasks that failed together are sent again together. */
  #repeatOrFail(failed: readonly [Entry, TaskwatchError][]): void {
    const { clock } = this.#policy;
    const random = clock.random();
    const again: Entry[] = [];
    let longestMs = 0;
    for (const [entry, error] of failed) {
      entry.failures += 1;
      const pauseMs = this.#closed ? undefined : pauseBeforeRepeat(error, entry.failures, random);
      if (pauseMs === undefined || clock.nowMs() + pauseMs > entry.giveUpAtMs) {
        this.#fail(entry, error);
      } else if (!entry.settled) {
        again.push(entry);
        longestMs = Math.max(longestMs, pauseMs);
      }
    }
    if (again.length === 0) return;
    const endPause = clock.after(longestMs, () => {
      this.#paused.delete(again);
      for (const entry of again) if (!entry.settled) this.#queue.push(entry);
      this.#pump();
    });
    this.#paused.set(again, endPause);
  }
}

function obey(signal: AbortSignal, entry: Entry, settle: () => void): void {
  const { resolve, reject } = entry;
  const onAbort = (): void => {
    settle();
    reject(signal.reason as Error);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  entry.resolve = (task) => {
    signal.removeEventListener("abort", onAbort);
    resolve(task);
  };
  entry.reject = (error) => {
    signal.removeEventListener("abort", onAbort);
    reject(error);
  };
}

function queueFull(maxQueuedBytes: number): TaskwatchError {
  const message = `more than ${maxQueuedBytes} bytes of tasks wait for their answers`;
  return new TaskwatchError("RESOURCE_EXHAUSTED", message, { reason: "CLIENT_QUEUE_FULL" });
}

function noResult(): TaskwatchError {
  return new TaskwatchError("INTERNAL", "service answered without a result for the task");
}

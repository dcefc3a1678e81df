import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import { CancelTaskRequestSchema, TaskService } from "../gen/taskwatch/v1/task_service_pb.ts";
import { type CallPolicy, type Caller, createCaller } from "./call.ts";
import { type Clock, systemClock } from "./clock.ts";
import { createGrpcTransport, type GrpcTransportOptions } from "./grpc/grpc-transport.ts";
import { readStatus, readStatuses, type ReadResult } from "./status/read-statuses.ts";
import { statusFromMessage } from "./status/status-from-message.ts";
import { listTasks, type TaskQuery } from "./status/task-query.ts";
import type { TaskStatus } from "./status/task-status.ts";
import type { Submission, SubmittedTask } from "./submit/submission.ts";
import { type BatchLimits, defaultBatchLimits, SubmitBatcher } from "./submit/submit-batcher.ts";
import { clientClosed, TaskwatchError } from "./taskwatch-error.ts";
import type { Transport } from "./transport.ts";
import { ResumingWatch } from "./watch/resuming-watch.ts";
import { WaitGroups } from "./watch/wait-groups.ts";
import type { Watch, WatchOptions, WatchTarget } from "./watch/watch-event.ts";
import { requestFromTarget } from "./watch/watch-request.ts";

/** Where the service is, and how patient to be with it. */
export interface TaskwatchClientOptions extends GrpcTransportOptions {
  /**
   * How long the answer to one call is waited for. Default 20 s, as the service itself waits up to 15 s for its store, and
   * then says what it knows.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * For how long after it was first made a call is repeated, while the service is unavailable or does not answer within
   * `timeoutMs`; 0 means never. So a call fails after the sum of both at the latest. Default 30 s.
   */
  readonly retryBudgetMs?: number | undefined;
  /** How submits are gathered into calls. */
  readonly batch?: Partial<BatchLimits> | undefined;
  /** Time and chance; for tests. */
  readonly clock?: Clock | undefined;
}

/** What every call may be given. */
export interface CallOptions {
  /** Gives up at once: the call rejects with the signal's reason. What was asked may have been done all the same. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Submits tasks and tells how they are doing. Calls fail with a `TaskwatchError`; while the service is unavailable or does
 * not answer in time they are repeated first, for up to `retryBudgetMs`: each of them may safely be made twice.
 */
export interface TaskwatchClient extends AsyncDisposable {
  /**
   * Accepts a task: once this resolves, the task is stored and will end. Submits of one turn of the event loop travel
   * together. When it rejects with UNAVAILABLE or DEADLINE_EXCEEDED, the outcome is unknown: submit the same again with the
   * `request_id` from the error's metadata.
   */
  submit(submission: Submission, options?: CallOptions): Promise<SubmittedTask>;
  /** The status of a task, at least as new as every write that was acknowledged before, and as `minRevision`. */
  get(taskId: string, options?: CallOptions & { readonly minRevision?: number | undefined }): Promise<TaskStatus>;
  /** The statuses of any number of tasks, in the order of the ids, each with its own error if there is none. */
  getMany(taskIds: readonly string[], options?: CallOptions): Promise<readonly ReadResult[]>;
  /**
   * Waits until the task has ended and returns its terminal status, whichever it is. Rejects with DEADLINE_EXCEEDED
   * (WAIT_TIMEOUT) after `timeoutMs`, if given, and with NOT_FOUND if there is no such task.
   */
  wait(taskId: string, options?: CallOptions & { readonly timeoutMs?: number | undefined }): Promise<TaskStatus>;
  /** Tells the current status of each task and then every change, and ends after the last of the tasks has ended. */
  watch(target: WatchTarget, options?: WatchOptions): Watch;
  /** The tasks that match, newest first. */
  list(query?: TaskQuery): AsyncIterableIterator<TaskStatus>;
  /**
   * Cancels a task that waits; asks one that runs to stop, within `graceMs` (default 30 s), which makes it CANCELLING.
   * Rejects with FAILED_PRECONDITION (TASK_ALREADY_ENDED) if it ended otherwise.
   */
  cancel(
    taskId: string,
    options?: CallOptions & { readonly reason?: string | undefined; readonly graceMs?: number | undefined },
  ): Promise<TaskStatus>;
  /** Ends everything at once: what is under way fails with CLIENT_CLOSED. Idempotent. */
  close(): void;
}

const defaultTimeoutMs = 20_000;
const defaultRetryBudgetMs = 30_000;

/** A client of the service at `options.address`. It connects at the first call. */
export function createTaskwatchClient(options: TaskwatchClientOptions): TaskwatchClient {
  return new Client(options, createGrpcTransport(options));
}

class Client implements TaskwatchClient {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #caller: Caller;
  /** Repeats nothing; for those who repeat by themselves. */
  readonly #onceCaller: Caller;
  readonly #batcher: SubmitBatcher;
  readonly #waits: WaitGroups;
  readonly #watches = new Set<ResumingWatch>();
  #closed = false;

  constructor(options: TaskwatchClientOptions, transport: Transport) {
    const { timeoutMs = defaultTimeoutMs, retryBudgetMs = defaultRetryBudgetMs, clock = systemClock, batch } = options;
    const policy: CallPolicy = { clock, timeoutMs, retryBudgetMs };
    this.#transport = transport;
    this.#clock = clock;
    this.#caller = createCaller(transport, policy);
    this.#onceCaller = createCaller(transport, { ...policy, retryBudgetMs: 0 });
    this.#batcher = new SubmitBatcher(transport, policy, { ...defaultBatchLimits, ...batch });
    this.#waits = new WaitGroups({
      clock,
      watch: (taskIds) => this.watch(taskIds, { minIntervalMs: waitIntervalMs }),
      read: (taskIds) => this.getMany(taskIds),
    });
  }

  submit(submission: Submission, { signal }: CallOptions = {}): Promise<SubmittedTask> {
    return this.#batcher.submit(submission, signal);
  }

  get(taskId: string, options: CallOptions & { minRevision?: number | undefined } = {}): Promise<TaskStatus> {
    return readStatus(this.#caller, taskId, options);
  }

  getMany(taskIds: readonly string[], { signal }: CallOptions = {}): Promise<readonly ReadResult[]> {
    return readStatuses(this.#caller, taskIds, signal);
  }

  async wait(taskId: string, options: CallOptions & { timeoutMs?: number | undefined } = {}): Promise<TaskStatus> {
    const { signal, timeoutMs } = options;
    if (timeoutMs === undefined) return this.#waits.wait(taskId, signal);
    const timeout = new AbortController();
    const cancelTimer = this.#clock.after(timeoutMs, () => timeout.abort(waitTimeout(taskId, timeoutMs)));
    try {
      const either = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
      return await this.#waits.wait(taskId, either);
    } finally {
      cancelTimer();
    }
  }

  watch(target: WatchTarget, options: WatchOptions = {}): Watch {
    if (this.#closed) throw clientClosed();
    const watch = new ResumingWatch({
      ...options,
      request: requestFromTarget(target, options.minIntervalMs),
      transport: this.#transport,
      read: (taskIds, signal) => readStatuses(this.#onceCaller, taskIds, signal),
      clock: this.#clock,
      onOpened: () => this.#watches.add(watch),
      onClosed: () => this.#watches.delete(watch),
    });
    return watch;
  }

  list(query: TaskQuery = {}): AsyncIterableIterator<TaskStatus> {
    return listTasks(this.#caller, query);
  }

  async cancel(
    taskId: string,
    options: CallOptions & { reason?: string | undefined; graceMs?: number | undefined } = {},
  ): Promise<TaskStatus> {
    const { signal, reason = "", graceMs } = options;
    const request = create(CancelTaskRequestSchema, { taskId, reason });
    if (graceMs !== undefined) request.grace = durationFromMs(graceMs);
    const { status } = await this.#caller.call(TaskService.method.cancelTask, request, { signal });
    return statusFromMessage(status ?? noStatus());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#batcher.close();
    this.#waits.close();
    for (const watch of this.#watches) watch.abort(clientClosed());
    this.#transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Those who wait for the end do not look at progress. */
const waitIntervalMs = 60_000;

function noStatus(): never {
  throw new TaskwatchError("INTERNAL", "service answered without a status");
}

function waitTimeout(taskId: string, timeoutMs: number): TaskwatchError {
  const message = `task has not ended within ${timeoutMs} ms`;
  return new TaskwatchError("DEADLINE_EXCEEDED", message, { reason: "WAIT_TIMEOUT", metadata: { task_id: taskId } });
}

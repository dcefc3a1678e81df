import { durationMs } from "@bufbuild/protobuf/wkt";

import type { WaitTaskRequest } from "../gen/taskwatch/v1/task_service_pb.ts";
import { type TaskError, taskExpired, taskNotFound } from "../task/errors.ts";
import { taskKeyFromId } from "../task/task-id.ts";
import { hasEnded, type StatusSnapshot } from "../task/task.ts";
import type { RemovalReason, TaskSubscriber } from "../view/hub.ts";
import type { StatusReader } from "../view/read-status.ts";
import type { View } from "../view/view.ts";
import type { Caller } from "./operations.ts";
import { storeReplaced } from "./resume-token.ts";

/** What waiting needs. */
export interface WaitPorts {
  readonly view: Pick<View, "subscribe">;
  readonly reader: Pick<StatusReader, "readStatus">;
  /** Ends all waits early, each with the status as it is: the process is about to stop. */
  readonly draining?: AbortSignal | undefined;
}

const defaultTimeoutMs = 20_000;
const maxTimeoutMs = 60_000;

/**
 * Waits until a task has ended, and returns its status; after the time-out, its status as it is.
 *
 * Throws TASK_NOT_FOUND, TASK_EXPIRED, STORE_UNAVAILABLE, and STORE_REPLACED.
 */
export async function waitTask(
  { view, reader, draining }: WaitPorts,
  { taskId, timeout }: WaitTaskRequest,
  { caller, signal }: { readonly caller: Caller; readonly signal: AbortSignal },
): Promise<StatusSnapshot> {
  const key = taskKeyFromId(caller.namespace, taskId);
  if (key === undefined) throw taskNotFound(taskId);
  const timeoutMs = Math.min(timeout === undefined ? defaultTimeoutMs : durationMs(timeout), maxTimeoutMs);
  const deadlineMs = performance.now() + timeoutMs;
  // Heard before it is read: an end in between is told by one of the two.
  const ending = new Ending(taskId);
  const unsubscribe = view.subscribe(key, ending);
  try {
    const status = await reader.readStatus(key, { signal });
    if (hasEnded(status)) return status;
    const waitMs = deadlineMs - performance.now();
    if (waitMs > 0) await ending.wait(waitMs, [signal, draining]);
    signal.throwIfAborted();
    return ending.latest(status);
  } finally {
    unsubscribe();
  }
}

/** Hears of a task until it ends. */
class Ending implements TaskSubscriber {
  readonly #taskId: string;
  #latest: StatusSnapshot | undefined;
  #failure: TaskError | undefined;
  #over: (() => void) | undefined;

  constructor(taskId: string) {
    this.#taskId = taskId;
  }

  onStatus(status: StatusSnapshot): void {
    if (this.#latest !== undefined && hasEnded(this.#latest)) return;
    this.#latest = status;
    if (hasEnded(status)) this.#over?.();
  }

  onRemoved(_reason: RemovalReason): void {
    this.#fail(taskExpired(this.#taskId));
  }

  onReplaced(): void {
    this.#fail(storeReplaced());
  }

  /** The newer of `status` and what was heard. Throws if the task is gone, and its end was not heard. */
  latest(status: StatusSnapshot): StatusSnapshot {
    const latest = this.#latest;
    if (this.#failure !== undefined && (latest === undefined || !hasEnded(latest))) throw this.#failure;
    if (latest === undefined || latest.revision < status.revision) return status;
    return latest.revision === status.revision && latest.change < status.change ? status : latest;
  }

  /** Resolves when the task is over, time is, or one of the signals comes. */
  async wait(waitMs: number, signals: readonly (AbortSignal | undefined)[]): Promise<void> {
    const isOver = this.#failure !== undefined || (this.#latest !== undefined && hasEnded(this.#latest));
    if (isOver || signals.some((signal) => signal?.aborted === true)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = (): void => resolve();
    this.#over = stop;
    const timer = setTimeout(stop, waitMs);
    for (const signal of signals) signal?.addEventListener("abort", stop);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      for (const signal of signals) signal?.removeEventListener("abort", stop);
    }
  }

  #fail(error: TaskError): void {
    this.#failure ??= error;
    this.#over?.();
  }
}

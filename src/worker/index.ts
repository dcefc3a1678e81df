/** `taskwatch/worker`: runs tasks. */

export { type AbortCause, AttemptAborted } from "./attempt/attempt-aborted.ts";
export {
  CancelledError,
  FatalError,
  type HandlerErrorOptions,
  RetryableError,
  type RetryableErrorOptions,
} from "./handler/handler-errors.ts";
export type { Handler, ProgressUpdate, TaskContext } from "./handler/handler.ts";
export { createWorker, type Worker, type WorkerFigures, type WorkerState } from "./worker.ts";
export type { WorkerLogger } from "./worker-logger.ts";
export type { AttemptEnd, ObservedTask, TaskEnd, WorkerObserver } from "./worker-observer.ts";
export type { WorkerNatsOptions, WorkerOptions } from "./worker-options.ts";

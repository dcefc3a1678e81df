/** The caller's side of Taskwatch: submit tasks, read, list and cancel them, and watch them to their end. */
export {
  createTaskwatchClient,
  type CallOptions,
  type TaskwatchClient,
  type TaskwatchClientOptions,
} from "./client.ts";
export type { Clock } from "./clock.ts";
export type { GrpcTransportOptions, TlsOptions } from "./grpc/grpc-transport.ts";
export type { ReadResult } from "./status/read-statuses.ts";
export { statusToJson } from "./status/status-to-json.ts";
export type { RetryOptions, Submission, SubmittedTask } from "./submit/submission.ts";
export type { BatchLimits } from "./submit/submit-batcher.ts";
export type { TaskQuery } from "./status/task-query.ts";
export {
  type Attempt,
  type AttemptError,
  type AttemptOutcome,
  type Cancellation,
  isTerminal,
  type JsonValue,
  type Priority,
  type Progress,
  type RemovalReason,
  type TaskState,
  type TaskStatus,
  type TimeLedger,
  type Wait,
  type WaitReason,
} from "./status/task-status.ts";
export { type FieldViolation, type StatusCode, TaskwatchError } from "./taskwatch-error.ts";
export type { Interruption, TaskSelector, Watch, WatchEvent, WatchOptions, WatchTarget } from "./watch/watch-event.ts";

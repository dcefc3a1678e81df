import type { JsonValue } from "@bufbuild/protobuf";

export type { JsonValue } from "@bufbuild/protobuf";

/**
 * Where a task is in its life. SUCCEEDED, FAILED, CANCELLED and EXPIRED are terminal and never change. UNSPECIFIED stands
 * for a state that this version of the client does not know.
 */
export type TaskState =
  | "UNSPECIFIED"
  | "SCHEDULED"
  | "QUEUED"
  | "RUNNING"
  | "RETRYING"
  | "CANCELLING"
  | "SUCCEEDED"
  | "FAILED"
  | "CANCELLED"
  | "EXPIRED";

/** Which of the waiting tasks of a queue is run first. */
export type Priority = "LOW" | "NORMAL" | "HIGH";

/** How one attempt ended; UNSPECIFIED for an outcome that this version of the client does not know. */
export type AttemptOutcome = "UNSPECIFIED" | "SUCCEEDED" | "FAILED" | "CANCELLED" | "LOST" | "EXPIRED";

/** What a task that does not run waits for; UNSPECIFIED for a reason that this version of the client does not know. */
export type WaitReason = "UNSPECIFIED" | "WORKER" | "SCHEDULE" | "BACKOFF" | "PAUSED" | "NO_WORKER";

/** Why a status is gone; UNKNOWN also for a reason that this version of the client does not know. */
export type RemovalReason = "EXPIRED" | "DELETED" | "UNKNOWN";

/** How far a running attempt says it is. */
export interface Progress {
  readonly done: number;
  /** How many units there are; undefined while that is not known. */
  readonly total: number | undefined;
  /** What is counted, such as "files"; may be empty. */
  readonly unit: string;
  /** One line for people; may be empty. */
  readonly message: string;
  /** `done` / `total`, between 0 and 1; undefined while `total` is not known. */
  readonly fraction: number | undefined;
}

/** Why an attempt, or the task, did not succeed. */
export interface AttemptError {
  /** UPPER_SNAKE, chosen by the handler or one of the service's own. */
  readonly code: string;
  /** One line for people. */
  readonly message: string;
  /** Whether the failure may go away when the task is run again. */
  readonly retryable: boolean;
  /** What the handler added. */
  readonly details: Readonly<Record<string, string>>;
}

/** One run of a task. */
export interface Attempt {
  /** Counted from 1. */
  readonly number: number;
  /** The name of the worker that ran it. */
  readonly worker: string;
  readonly startedAt: Date | undefined;
  /** Undefined while it runs. */
  readonly endedAt: Date | undefined;
  /** Undefined while it runs. */
  readonly outcome: AttemptOutcome | undefined;
  readonly error: AttemptError | undefined;
}

/** What a task that does not run is waiting for. */
export interface Wait {
  readonly reason: WaitReason;
  /** When the wait ends, where that is known. */
  readonly until: Date | undefined;
}

/** A request to cancel, kept in the status for good. */
export interface Cancellation {
  /** The principal that asked. */
  readonly requestedBy: string;
  /** Why, in its words. */
  readonly reason: string;
  readonly requestedAt: Date | undefined;
  /** How long the running attempt was given to stop by itself. */
  readonly graceMs: number | undefined;
}

/** How long a task spent doing what, over all its attempts. */
export interface TimeLedger {
  readonly queuedMs: number;
  readonly runningMs: number;
  readonly backoffMs: number;
}

/** Everything there is to know about a task at one revision. Times are to the millisecond. */
export interface TaskStatus {
  readonly taskId: string;
  readonly queue: string;
  readonly type: string;
  readonly state: TaskState;
  readonly priority: Priority;
  /** The number of the current or last attempt; 0 while it never ran. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** What the current attempt last reported. */
  readonly progress: Progress | undefined;
  /** What the handler returned, once SUCCEEDED; undefined if it returned nothing. */
  readonly result: JsonValue | Uint8Array | undefined;
  /** The media type of a result that is bytes, if the handler named one. */
  readonly resultContentType: string | undefined;
  /** Why it FAILED or EXPIRED; while RETRYING, why the last attempt failed. */
  readonly error: AttemptError | undefined;
  /** While SCHEDULED, QUEUED or RETRYING. */
  readonly wait: Wait | undefined;
  /** Present also when the task ended before the request could be honoured. */
  readonly cancellation: Cancellation | undefined;
  /** The last 10, oldest first. */
  readonly attempts: readonly Attempt[];
  readonly createdAt: Date | undefined;
  /** When it becomes, or became, QUEUED, if it was delayed. */
  readonly scheduledAt: Date | undefined;
  /** When its first attempt started. */
  readonly startedAt: Date | undefined;
  /** When this status was written. */
  readonly updatedAt: Date | undefined;
  /** When it reached its terminal state. */
  readonly endedAt: Date | undefined;
  /** When this status will be forgotten; set once the task has ended. */
  readonly expiresAt: Date | undefined;
  /** Until when the current attempt is known to be alive. */
  readonly leaseExpiresAt: Date | undefined;
  /** The point in time after which the task is given up. */
  readonly deadline: Date | undefined;
  readonly timeLedger: TimeLedger | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** The task that this one runs again. */
  readonly retryOf: string | undefined;
  /** The worker of the current attempt. */
  readonly worker: string | undefined;
  /** The W3C trace context of the submitter. */
  readonly traceparent: string | undefined;
  /** Grows with every write; 0 while the task was never claimed. */
  readonly revision: number;
}

/** Whether a task in this state has ended for good. */
export function isTerminal(state: TaskState): boolean {
  return state === "SUCCEEDED" || state === "FAILED" || state === "CANCELLED" || state === "EXPIRED";
}

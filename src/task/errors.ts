/** Whose fault an error is, which decides its log level: the caller's, the world's, or ours. */
export type Blame = "caller" | "world" | "us";

/**
 * The closed set of reasons, each with who is to blame. What is in it is part of the API: a reason is never renamed and
 * never changes its gRPC status code.
 */
export const reasons = {
  REQUEST_INVALID: "caller",
  PAGE_TOKEN_INVALID: "caller",
  RESUME_TOKEN_INVALID: "caller",
  CREDENTIAL_MISSING: "caller",
  CREDENTIAL_INVALID: "caller",
  ROLE_MISSING: "caller",
  TASK_NOT_FOUND: "caller",
  TASK_EXPIRED: "caller",
  QUEUE_NOT_FOUND: "caller",
  REQUEST_ID_REUSED: "caller",
  TASK_ALREADY_ENDED: "caller",
  TASK_NOT_ENDED: "caller",
  TASK_NOT_RETRYABLE: "caller",
  RATE_LIMITED: "caller",
  QUEUE_LIMIT_REACHED: "caller",
  WATCH_LIMIT_REACHED: "caller",
  SLOW_READER: "caller",
  RESPONSE_TOO_LARGE: "caller",
  MESSAGE_TOO_LARGE: "caller",
  WINDOW_PASSED: "caller",
  CALL_CANCELLED: "caller",
  DEADLINE_EXCEEDED: "caller",
  NOT_IMPLEMENTED: "caller",
  STORE_REPLACED: "world",
  STORE_UNAVAILABLE: "world",
  STORE_FULL: "world",
  OUTCOME_UNKNOWN: "world",
  NOT_READY: "world",
  DRAINING: "world",
  CONFLICT: "world",
  INTERNAL: "us",
} as const satisfies Record<string, Blame>;

/** Why a call was refused or failed. */
export type Reason = keyof typeof reasons;

/** One thing that is wrong with one field of a request. */
export interface FieldViolation {
  /** The path of the field, such as `retry_policy.max_attempts`. */
  readonly field: string;
  /** The rule that it breaks, for people. */
  readonly description: string;
  /** The rule's name, UPPER_SNAKE. */
  readonly rule: string;
}

/** What a `TaskError` may carry besides its reason and message. */
export interface TaskErrorOptions {
  /** What is wrong with which field. */
  readonly fields?: readonly FieldViolation[];
  /** Dynamic values for programs, such as the id of the task at fault. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** When it makes sense to repeat the call, in ms. Unset: not, or not known. */
  readonly retryDelayMs?: number;
  /** What led to it. Goes to the log, never to a client. */
  readonly cause?: unknown;
}

/** The only error that operations throw on purpose. Its message may be shown to the caller. */
export class TaskError extends Error {
  override readonly name = "TaskError";
  readonly reason: Reason;
  readonly fields: readonly FieldViolation[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryDelayMs: number | undefined;

  constructor(reason: Reason, message: string, options: TaskErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.fields = options.fields ?? [];
    this.metadata = options.metadata ?? {};
    this.retryDelayMs = options.retryDelayMs;
  }

  /** Whose fault it is. */
  get blame(): Blame {
    return reasons[this.reason];
  }
}

/** Turns anything caught into a `TaskError`: what is not one already becomes INTERNAL, with a text that gives nothing away. */
export function toTaskError(error: unknown): TaskError {
  if (error instanceof TaskError) return error;
  return new TaskError("INTERNAL", "internal error", { cause: error });
}

/** The error for one bad field. */
export function invalidField(violation: FieldViolation, cause?: unknown): TaskError {
  return new TaskError("REQUEST_INVALID", `${violation.field}: ${violation.description}`, {
    fields: [violation],
    cause,
  });
}

/** The answer for a task that never was, and for a task of another namespace: nobody can tell which. */
export function taskNotFound(taskId: string): TaskError {
  return new TaskError("TASK_NOT_FOUND", "task not found", { metadata: { task_id: taskId } });
}

/** The answer for a task that was, and whose retention is over. */
export function taskExpired(taskId: string): TaskError {
  return new TaskError("TASK_EXPIRED", "task existed, and its status is no longer kept", {
    metadata: { task_id: taskId },
  });
}

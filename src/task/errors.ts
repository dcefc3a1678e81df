/** Whose fault an error is, which decides its log level: the caller's, the world's, or ours. */
export type Blame = "caller" | "world" | "us";

/**
 * The closed set of reasons, each with who is to blame and what it means. What is in it is part of the API: a reason is never renamed and
 * never changes its gRPC status code.
 */
export const reasons = {
  REQUEST_INVALID: { blame: "caller", meaning: "A field breaks a rule of the schema, or the request cannot be read" },
  PAGE_TOKEN_INVALID: { blame: "caller", meaning: "The page token is not one of this list" },
  RESUME_TOKEN_INVALID: { blame: "caller", meaning: "The resume token is not one of this watch" },
  CREDENTIAL_MISSING: { blame: "caller", meaning: "The call has no API key" },
  CREDENTIAL_INVALID: { blame: "caller", meaning: "The API key is unknown or has expired" },
  ROLE_MISSING: { blame: "caller", meaning: "The principal may not call this method" },
  TASK_NOT_FOUND: { blame: "caller", meaning: "There is no such task in the namespace of the caller" },
  TASK_EXPIRED: { blame: "caller", meaning: "There was such a task, and its retention is over" },
  QUEUE_NOT_FOUND: { blame: "caller", meaning: "There is no such queue" },
  REQUEST_ID_REUSED: {
    blame: "caller",
    meaning: "The request id names a task with other content; the metadata says which",
  },
  TASK_ALREADY_ENDED: { blame: "caller", meaning: "The task has ended, and not as cancelled" },
  TASK_NOT_ENDED: { blame: "caller", meaning: "The task has not ended" },
  TASK_NOT_RETRYABLE: { blame: "caller", meaning: "The task did not fail, or its job is no longer kept" },
  RATE_LIMITED: { blame: "caller", meaning: "The principal calls too often, or has too many calls under way" },
  QUEUE_LIMIT_REACHED: { blame: "caller", meaning: "There are as many queues as are allowed" },
  WATCH_LIMIT_REACHED: { blame: "caller", meaning: "As many watches are open as are allowed" },
  SLOW_READER: { blame: "caller", meaning: "The watcher did not read what it was sent" },
  RESPONSE_TOO_LARGE: { blame: "caller", meaning: "The answer does not fit into one message: ask for less" },
  MESSAGE_TOO_LARGE: { blame: "caller", meaning: "The request does not fit into one message" },
  WINDOW_PASSED: { blame: "caller", meaning: "What happened since the resume token is no longer known: begin anew" },
  CALL_CANCELLED: { blame: "caller", meaning: "The caller gave up" },
  DEADLINE_EXCEEDED: { blame: "caller", meaning: "The call took longer than the caller, or the service, allows" },
  NOT_IMPLEMENTED: { blame: "caller", meaning: "There is no such method, or not yet" },
  STORE_REPLACED: { blame: "world", meaning: "The store is another one, or an older state of it: begin anew" },
  STORE_UNAVAILABLE: { blame: "world", meaning: "NATS cannot be reached; nothing was changed" },
  STORE_FULL: { blame: "world", meaning: "NATS has no room left; nothing was changed" },
  OUTCOME_UNKNOWN: { blame: "world", meaning: "The change may or may not have been made: repeat the call to find out" },
  NOT_READY: { blame: "world", meaning: "The process is starting" },
  DRAINING: { blame: "world", meaning: "The process is stopping" },
  CONFLICT: { blame: "world", meaning: "The task kept changing meanwhile" },
  INTERNAL: { blame: "us", meaning: "A defect of the service; its log says more" },
} as const satisfies Record<string, { readonly blame: Blame; readonly meaning: string }>;

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
    return reasons[this.reason].blame;
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

/** The names of the gRPC status codes, at the place of their number. */
const codes = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** The name of a gRPC status code. */
export type StatusCode = Exclude<(typeof codes)[number], "OK">;

/** One thing that is wrong with one field of a request. */
export interface FieldViolation {
  /** The path of the field, such as `retry_policy.max_attempts`. */
  readonly field: string;
  /** The rule that it breaks, for people. */
  readonly description: string;
  /** The name of the rule, UPPER_SNAKE; empty when the service did not name one. */
  readonly rule: string;
}

/** What a `TaskwatchError` may carry besides its code and message. */
export interface TaskwatchErrorOptions {
  readonly reason?: string | undefined;
  readonly fields?: readonly FieldViolation[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly retryDelayMs?: number | undefined;
  readonly cause?: unknown;
}

/**
 * Every failure of a call, whether the service answered it or the connection or this client gave up. Decide by `reason` or
 * by `code`, never by the message.
 */
export class TaskwatchError extends Error {
  override readonly name = "TaskwatchError";
  /** The gRPC status code. */
  readonly code: StatusCode;
  /**
   * Why, UPPER_SNAKE, of the closed set that the API documents, or one of this client's own: CLIENT_CLOSED,
   * CLIENT_QUEUE_FULL, WAIT_TIMEOUT. Undefined when it was not the service that answered but the connection or a proxy.
   */
  readonly reason: string | undefined;
  /** What is wrong with which field, for INVALID_ARGUMENT. */
  readonly fields: readonly FieldViolation[];
  /**
   * Dynamic values, such as `task_id`. A submit that failed carries its `request_id` here: submitting again with it can
   * not make a second task.
   */
  readonly metadata: Readonly<Record<string, string>>;
  /** When it makes sense to repeat the call, in ms, if the service said so. */
  readonly retryDelayMs: number | undefined;

  constructor(code: StatusCode, message: string, options: TaskwatchErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reason = options.reason;
    this.fields = options.fields ?? [];
    this.metadata = options.metadata ?? {};
    this.retryDelayMs = options.retryDelayMs;
  }

  /** The task at fault, if it is about one. */
  get taskId(): string | undefined {
    return this.metadata["task_id"];
  }
}

/** The name of a gRPC status code; UNKNOWN for a number that is none. */
export function codeFromNumber(code: number): StatusCode {
  const name = codes[code] ?? "UNKNOWN";
  return name === "OK" ? "UNKNOWN" : name;
}

/** The same error with more metadata. */
export function withMetadata(error: TaskwatchError, metadata: Readonly<Record<string, string>>): TaskwatchError {
  const { code, message, reason, fields, retryDelayMs, cause } = error;
  return new TaskwatchError(code, message, {
    reason,
    fields,
    metadata: { ...error.metadata, ...metadata },
    retryDelayMs,
    cause,
  });
}

/** Turns anything caught into a `TaskwatchError`; what is not one already becomes INTERNAL. */
export function toTaskwatchError(error: unknown): TaskwatchError {
  if (error instanceof TaskwatchError) return error;
  return new TaskwatchError("INTERNAL", error instanceof Error ? error.message : String(error), { cause: error });
}

/** The error for one argument that cannot even be sent. */
export function invalidArgument(field: string, description: string, rule: string): TaskwatchError {
  return new TaskwatchError("INVALID_ARGUMENT", `${field}: ${description}`, {
    reason: "REQUEST_INVALID",
    fields: [{ field, description, rule }],
  });
}

/** The error for whatever is asked of a client that was closed. */
export function clientClosed(): TaskwatchError {
  return new TaskwatchError("CANCELLED", "client is closed", { reason: "CLIENT_CLOSED" });
}

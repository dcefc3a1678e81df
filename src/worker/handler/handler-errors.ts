/** What an error may carry besides its code and message. */
export interface HandlerErrorOptions {
  /** Shown in the status: at most 16 entries and 4 KiB in all; what is beyond is left out. */
  readonly details?: Readonly<Record<string, string>>;
  /** What led to it. Not stored. */
  readonly cause?: unknown;
}

/** What a `RetryableError` may carry besides. */
export interface RetryableErrorOptions extends HandlerErrorOptions {
  /** How long to wait before the next attempt, in ms, in place of the backoff of the retry policy. At most 7 days. */
  readonly retryDelayMs?: number;
}

/**
 * Thrown by a handler whose failure may go away when the task is run again.
 *
 * The task is run again unless its attempts are spent or its retry policy counts the code among those that end it. `code` is
 * UPPER_SNAKE, at most 64 characters.
 */
export class RetryableError extends Error {
  override readonly name = "RetryableError";
  readonly code: string;
  readonly details: Readonly<Record<string, string>>;
  readonly retryDelayMs: number | undefined;

  constructor(code: string, message: string, { details = {}, retryDelayMs, cause }: RetryableErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
    this.retryDelayMs = retryDelayMs;
  }
}

/** Thrown by a handler whose task cannot succeed, however often it is run: it ends as FAILED. `code` as in `RetryableError`. */
export class FatalError extends Error {
  override readonly name = "FatalError";
  readonly code: string;
  readonly details: Readonly<Record<string, string>>;

  constructor(code: string, message: string, { details = {}, cause }: HandlerErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}

/** Thrown by a handler that has stopped because it was asked to, or that cancels its own task: it ends as CANCELLED. */
export class CancelledError extends Error {
  override readonly name = "CancelledError";

  constructor(message = "cancelled by its handler", { cause }: { readonly cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

import type { Priority, TaskStatus } from "../status/task-status.ts";

/** How often and how patiently a failed attempt is repeated. What is left out is the queue's default. */
export interface RetryOptions {
  /** How many times the task may be started in all, the first time included. 1 to 100; usual default 3. */
  readonly maxAttempts?: number | undefined;
  /** The backoff after the first failed attempt; usual default 1 s. */
  readonly initialBackoffMs?: number | undefined;
  /** The longest backoff; usual default 5 min. */
  readonly maximumBackoffMs?: number | undefined;
  /** The growth of the backoff from attempt to attempt, 1 to 10; usual default 2. */
  readonly multiplier?: number | undefined;
  /** FULL (the default): evenly between zero and the computed backoff. NONE: exactly that. */
  readonly jitter?: "FULL" | "NONE" | undefined;
  /** Error codes that end the task at once, whatever attempts are left. */
  readonly nonRetryableCodes?: readonly string[] | undefined;
}

/** What to run, where and how. */
export interface Submission {
  /** Where the task waits: letters, digits, `_` and `-`, 1 to 64. */
  readonly queue: string;
  /** What picks the handler. */
  readonly type: string;
  /**
   * What the handler gets: a `Uint8Array`, untouched, or anything that JSON can say, read as `JSON.stringify` reads it. At
   * most 512 KiB encoded.
   */
  readonly payload?: unknown;
  /** The media type of a payload that is bytes. */
  readonly contentType?: string | undefined;
  /**
   * Unique for each intended task in a queue: submitting the same again with the same id gives the same task. Default a
   * new UUID, which makes the repeats of this client safe, but not those of its caller.
   */
  readonly requestId?: string | undefined;
  /** Default NORMAL. */
  readonly priority?: Priority | undefined;
  /** For finding tasks again. At most 16. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Not before this long from now. Not together with `scheduleAt`. */
  readonly delayMs?: number | undefined;
  /** Not before this time; one that has passed means at once. */
  readonly scheduleAt?: Date | undefined;
  /** The point in time after which the task is given up and becomes EXPIRED. */
  readonly deadline?: Date | undefined;
  /** How long one attempt may run; the queue's default is usually 1 h. */
  readonly timeoutMs?: number | undefined;
  /** How failed attempts are repeated. */
  readonly retry?: RetryOptions | undefined;
  /** How long the status is kept after the task has ended; the queue's default is usually 24 h. */
  readonly retentionMs?: number | undefined;
}

/** An accepted task: it is stored and will end. */
export interface SubmittedTask {
  readonly taskId: string;
  /** As accepted, or, for a repeat, as it is now. */
  readonly status: TaskStatus;
  /** Give it to `watch` to see everything that happens after this answer. */
  readonly resumeToken: string;
  /** Whether the `requestId` named a task that was there already. */
  readonly duplicate: boolean;
}

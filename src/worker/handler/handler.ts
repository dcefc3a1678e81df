import type { JsonValue } from "@bufbuild/protobuf";

/** How far a handler says it is. What is left out stays as it was last reported. */
export interface ProgressUpdate {
  /** How many units are done. */
  readonly done?: number;
  /** How many units there are; 0 while unknown. */
  readonly total?: number;
  /** What is counted, such as "files" or "bytes". Cut after 32 characters. */
  readonly unit?: string;
  /** One line for people. Cut after 256 characters. */
  readonly message?: string;
}

/** What a handler is given: its task, and the ways to deal with the world outside. May be taken apart. */
export interface TaskContext {
  readonly taskId: string;
  readonly queue: string;
  readonly type: string;
  /** As submitted: a JSON value, bytes, or undefined for nothing. */
  readonly payload: JsonValue | Uint8Array | undefined;
  /** The media type of the payload; empty if the submitter gave none. */
  readonly contentType: string;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
  /** How many attempts the task may have. */
  readonly maxAttempts: number;
  readonly labels: Readonly<Record<string, string>>;
  /** The point in time after which the task is given up. */
  readonly deadline: Date | undefined;
  /** The W3C trace context of the submitter; undefined if it sent none. */
  readonly traceparent: string | undefined;
  /**
   * Aborted when the attempt should stop; its reason is an `AttemptAborted` that says why. A handler that goes on all the
   * same runs on borrowed time: the attempt is soon recorded without it.
   */
  readonly signal: AbortSignal;
  /**
   * Reports progress. Costs next to nothing, may be called as often as there is something to say, and never throws: the
   * first report is written at once, later ones a few times a second at most, the last one always. Numbers that are negative
   * or not finite are ignored. Progress is shown as reported, also when it goes back, as it may when a new phase begins.
   */
  readonly progress: (update: ProgressUpdate) => void;
}

/**
 * Runs one attempt of a task.
 *
 * What it returns, or what the promise it returns resolves to, is the result: undefined for none, a `Uint8Array` for bytes, else
 * a JSON value. Anything it throws counts as a failure that may go away when the task is run again; `RetryableError`,
 * `FatalError` and `CancelledError` say it more exactly. It may run more than once for one task, so its effects should be safe
 * to repeat. It must not keep the event loop busy for long stretches: signs of life are sent from there.
 */
export type Handler = (context: TaskContext) => unknown;

/**
 * Why an attempt should stop.
 *
 * - `cancelled`: somebody asked to cancel the task;
 * - `timeout`: it has run for as long as one attempt may;
 * - `deadline`: the deadline of the task has passed;
 * - `lease_lost`: the task is, or may by now be, another worker's;
 * - `draining`: this worker is going away; the task will be run again elsewhere.
 */
export type AbortCause = "cancelled" | "timeout" | "deadline" | "lease_lost" | "draining";

const texts: Readonly<Record<AbortCause, string>> = {
  cancelled: "the task was cancelled",
  timeout: "the attempt took longer than its timeout",
  deadline: "the deadline of the task passed",
  lease_lost: "the lease of the attempt was lost",
  draining: "the worker is draining",
};

/** The reason of a handler's abort signal. */
export class AttemptAborted extends Error {
  override readonly name = "AttemptAborted";
  readonly why: AbortCause;

  constructor(why: AbortCause) {
    super(texts[why]);
    this.why = why;
  }
}

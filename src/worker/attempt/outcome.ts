/**
 * What is to be recorded of an attempt: a pure function of how its handler ended, of why it was told to stop, and of the state of
 * its record.
 *
 * - What a handler returned is recorded whatever else happened: the truth wins.
 * - What it threw after it was told to stop is taken as the doing of that, and the reason for stopping is recorded.
 * - A task that somebody has asked to cancel is not run again.
 */
import { type AttemptError, type Content, TaskState } from "../../gen/taskwatch/v1/task_pb.ts";
import { attemptError } from "../../task/lifecycle.ts";
import { backoffMs, type CompleteRetryPolicy, mayRetry } from "../../task/retry-policy.ts";
import type { AbortCause } from "./attempt-aborted.ts";
import type { Settlement } from "./settlement.ts";

/** What to record. */
export type Outcome =
  | { readonly kind: "succeed"; readonly result: Content | undefined }
  | { readonly kind: "retry"; readonly error: AttemptError; readonly delayMs: number }
  | { readonly kind: "fail"; readonly error: AttemptError }
  /** With what the handler said, if nobody had asked for it. */
  | { readonly kind: "cancel"; readonly message: string | undefined }
  | { readonly kind: "expire" };

/** An attempt that is over, or that has been given up. */
export interface EndedAttempt {
  /** The state of its record: RUNNING or CANCELLING. */
  readonly state: TaskState;
  /** The number of the attempt. */
  readonly attempt: number;
  readonly policy: CompleteRetryPolicy;
  /** Why it was told to stop, before it ended; undefined if it was not. */
  readonly aborted: AbortCause | undefined;
  /** How its handler ended; undefined if it still runs. */
  readonly settlement: Settlement | undefined;
  /** In [0, 1): spreads the backoff. */
  readonly random: number;
}

/** Decides what to record. */
export function outcomeOf(ended: EndedAttempt): Outcome {
  const { state, aborted, settlement } = ended;
  if (settlement?.kind === "returned") return { kind: "succeed", result: settlement.result };
  if (state === TaskState.CANCELLING) return outcomeOfCancelling(ended);
  switch (aborted) {
    case "deadline":
      return { kind: "expire" };
    case "cancelled":
      return { kind: "cancel", message: undefined };
    case "timeout":
      return retryOrFail(ended, attemptError("TIMEOUT", "the attempt took longer than its timeout", true));
    case "lease_lost":
      return retryOrFail(ended, attemptError("LEASE_LOST", "the lease could not be kept up", true));
    case "draining":
      // Not the task's fault, so it need not wait.
      return retryOrFail(ended, attemptError("DRAINED", "the worker went away", true), 0);
    case undefined:
      return outcomeOfUndisturbed(ended, settlement);
  }
}

function outcomeOfUndisturbed(
  ended: EndedAttempt,
  settlement: Exclude<Settlement, { kind: "returned" }> | undefined,
): Outcome {
  if (settlement === undefined) throw new Error("an attempt whose handler runs undisturbed has no outcome");
  if (settlement.kind === "cancelled") return { kind: "cancel", message: settlement.message };
  return retryOrFail(ended, settlement.error, settlement.retryDelayMs);
}

/** One that failed for good before it was told of the request has failed; all else would have gone on, and is cancelled. */
function outcomeOfCancelling(ended: EndedAttempt): Outcome {
  const { aborted, settlement } = ended;
  if (aborted === undefined && settlement?.kind === "failed") {
    const outcome = retryOrFail(ended, settlement.error);
    if (outcome.kind === "fail") return outcome;
  }
  return { kind: "cancel", message: undefined };
}

function retryOrFail({ policy, attempt, random }: EndedAttempt, error: AttemptError, delayMs?: number): Outcome {
  const { code, retryable } = error;
  if (!mayRetry(policy, { attempt, code, retryable })) return { kind: "fail", error };
  return { kind: "retry", error, delayMs: Math.round(delayMs ?? backoffMs(policy, attempt, random)) };
}

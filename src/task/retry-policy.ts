import { create } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";

import { type RetryPolicy, RetryPolicy_Jitter, RetryPolicySchema } from "../gen/taskwatch/v1/task_pb.ts";

/** A retry policy with every default filled in. */
export interface CompleteRetryPolicy {
  /** How many times a task may be started in all. */
  readonly maxAttempts: number;
  /** The backoff after the first failed attempt. */
  readonly initialBackoffMs: number;
  /** The longest backoff. */
  readonly maximumBackoffMs: number;
  /** The growth of the backoff from attempt to attempt. */
  readonly multiplier: number;
  /** Whether the backoff is spread between zero and its computed value. */
  readonly jitter: boolean;
  /** Error codes that end the task at once. */
  readonly nonRetryableCodes: readonly string[];
}

/** What holds where neither the task nor its queue says otherwise: up to 3 starts, about 1 s and 2 s apart at most. */
export const defaultRetryPolicy: CompleteRetryPolicy = {
  maxAttempts: 3,
  initialBackoffMs: 1_000,
  maximumBackoffMs: 300_000,
  multiplier: 2,
  jitter: true,
  nonRetryableCodes: [],
};

/** Fills the gaps of a policy from `defaults`. A maximum below the initial backoff is raised to it. */
export function completeRetryPolicy(
  policy: RetryPolicy | undefined,
  defaults: CompleteRetryPolicy = defaultRetryPolicy,
): CompleteRetryPolicy {
  if (policy === undefined) return defaults;
  const initialBackoffMs = msOr(policy.initialBackoff, defaults.initialBackoffMs);
  const maximumBackoffMs = msOr(policy.maximumBackoff, defaults.maximumBackoffMs);
  return {
    maxAttempts: policy.maxAttempts === 0 ? defaults.maxAttempts : policy.maxAttempts,
    initialBackoffMs,
    maximumBackoffMs: Math.max(maximumBackoffMs, initialBackoffMs),
    multiplier: policy.multiplier === 0 ? defaults.multiplier : policy.multiplier,
    jitter:
      policy.jitter === RetryPolicy_Jitter.UNSPECIFIED ? defaults.jitter : policy.jitter !== RetryPolicy_Jitter.NONE,
    nonRetryableCodes: policy.nonRetryableCodes.length === 0 ? defaults.nonRetryableCodes : policy.nonRetryableCodes,
  };
}

/** The policy as a message, for storing. */
export function retryPolicyMessage(policy: CompleteRetryPolicy): RetryPolicy {
  return create(RetryPolicySchema, {
    maxAttempts: policy.maxAttempts,
    initialBackoff: durationFromMs(policy.initialBackoffMs),
    maximumBackoff: durationFromMs(policy.maximumBackoffMs),
    multiplier: policy.multiplier,
    jitter: policy.jitter ? RetryPolicy_Jitter.FULL : RetryPolicy_Jitter.NONE,
    nonRetryableCodes: [...policy.nonRetryableCodes],
  });
}

/**
 * How long to wait after failed attempt `attempt` (from 1), in ms.
 *
 * `random` is in [0, 1). With the defaults and `random` near 1: 1 s, 2 s, 4 s, … up to 5 min.
 */
export function backoffMs(policy: CompleteRetryPolicy, attempt: number, random: number): number {
  const grown = policy.initialBackoffMs * policy.multiplier ** (attempt - 1);
  const capped = Math.min(policy.maximumBackoffMs, grown);
  return Math.round(policy.jitter ? capped * random : capped);
}

/** Whether a failure of attempt `attempt` with `code` may be followed by another attempt. */
export function mayRetry(
  policy: CompleteRetryPolicy,
  { attempt, code, retryable }: { readonly attempt: number; readonly code: string; readonly retryable: boolean },
): boolean {
  return retryable && attempt < policy.maxAttempts && !policy.nonRetryableCodes.includes(code);
}

function msOr(duration: Duration | undefined, fallbackMs: number): number {
  return duration === undefined ? fallbackMs : durationMs(duration);
}

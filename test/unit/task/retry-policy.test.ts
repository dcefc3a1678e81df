import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { RetryPolicy_Jitter, RetryPolicySchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import {
  backoffMs,
  type CompleteRetryPolicy,
  completeRetryPolicy,
  defaultRetryPolicy,
  mayRetry,
  retryPolicyMessage,
} from "../../../src/task/retry-policy.ts";

const exact: CompleteRetryPolicy = { ...defaultRetryPolicy, jitter: false };

test("the backoff doubles from one second and stops growing at five minutes", () => {
  const waits = [1, 2, 3, 4, 8, 9, 10, 100].map((attempt) => backoffMs(exact, attempt, 0.5));
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 128_000, 256_000, 300_000, 300_000]);
});

test("full jitter spreads the backoff evenly from zero to its computed value", () => {
  expect(backoffMs(defaultRetryPolicy, 3, 0)).toBe(0);
  expect(backoffMs(defaultRetryPolicy, 3, 0.25)).toBe(1_000);
  expect(backoffMs(defaultRetryPolicy, 3, 0.999_999)).toBe(4_000);
});

test("whatever the policy, the backoff is finite and within its bounds", () => {
  fc.assert(
    fc.property(
      fc.record({
        initialBackoffMs: fc.integer({ min: 10, max: 86_400_000 }),
        maximumBackoffMs: fc.integer({ min: 10, max: 604_800_000 }),
        multiplier: fc.double({ min: 1, max: 10, noNaN: true }),
        jitter: fc.boolean(),
      }),
      fc.integer({ min: 1, max: 100 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (policy, attempt, random) => {
        const wait = backoffMs({ ...defaultRetryPolicy, ...policy }, attempt, random);
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(policy.maximumBackoffMs);
      },
    ),
  );
});

test("what a task does not say is taken from its queue, and then from the defaults", () => {
  const queue = completeRetryPolicy(create(RetryPolicySchema, { maxAttempts: 7, multiplier: 3 }));
  const task = completeRetryPolicy(create(RetryPolicySchema, { initialBackoff: durationFromMs(50) }), queue);
  expect(task).toEqual({ ...defaultRetryPolicy, maxAttempts: 7, multiplier: 3, initialBackoffMs: 50 });
});

test("an initial backoff above the default maximum raises the maximum", () => {
  const policy = completeRetryPolicy(create(RetryPolicySchema, { initialBackoff: durationFromMs(600_000) }));
  expect(policy.maximumBackoffMs).toBe(600_000);
});

test("a stored policy is read back as it was", () => {
  const policy: CompleteRetryPolicy = {
    maxAttempts: 9,
    initialBackoffMs: 1_500,
    maximumBackoffMs: 7_250,
    multiplier: 1.5,
    jitter: false,
    nonRetryableCodes: ["NO_FUNDS"],
  };
  expect(retryPolicyMessage(policy).jitter).toBe(RetryPolicy_Jitter.NONE);
  expect(completeRetryPolicy(retryPolicyMessage(policy))).toEqual(policy);
});

test.each([
  { attempt: 1, code: "X", retryable: true, expected: true },
  { attempt: 2, code: "X", retryable: true, expected: true },
  { attempt: 3, code: "X", retryable: true, expected: false },
  { attempt: 1, code: "X", retryable: false, expected: false },
  { attempt: 1, code: "NO_FUNDS", retryable: true, expected: false },
])("attempt $attempt of 3 that failed with $code may be repeated: $expected", ({ expected, ...failure }) => {
  expect(mayRetry({ ...defaultRetryPolicy, nonRetryableCodes: ["NO_FUNDS"] }, failure)).toBe(expected);
});

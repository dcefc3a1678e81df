import { expect, test } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { attemptError } from "../../../src/task/lifecycle.ts";
import { defaultRetryPolicy } from "../../../src/task/retry-policy.ts";
import type { AbortCause } from "../../../src/worker/attempt/attempt-aborted.ts";
import { type EndedAttempt, outcomeOf } from "../../../src/worker/attempt/outcome.ts";
import type { Settlement } from "../../../src/worker/attempt/settlement.ts";

const { RUNNING, CANCELLING } = TaskState;
const returned: Settlement = { kind: "returned", result: undefined };
const cancelled: Settlement = { kind: "cancelled", message: "enough" };
const broken: Settlement = { kind: "failed", error: attemptError("BROKEN", "broken", true) };
const hopeless: Settlement = { kind: "failed", error: attemptError("HOPELESS", "never", false) };

function outcome(ended: Partial<EndedAttempt>): string {
  const decided = outcomeOf({
    state: RUNNING,
    attempt: 1,
    policy: defaultRetryPolicy,
    aborted: undefined,
    settlement: undefined,
    random: 0.5,
    ...ended,
  });
  const code = "error" in decided ? ` ${decided.error.code}` : "";
  return `${decided.kind}${code}${decided.kind === "retry" ? ` ${decided.delayMs}` : ""}`;
}

const causes: readonly (AbortCause | undefined)[] = [
  undefined,
  "cancelled",
  "timeout",
  "deadline",
  "lease_lost",
  "draining",
];

test("what was returned is recorded, whatever else happened", () => {
  for (const aborted of causes) {
    for (const state of [RUNNING, CANCELLING]) {
      expect(outcome({ state, aborted, settlement: returned })).toBe("succeed");
    }
  }
});

test.each<[AbortCause, string]>([
  ["timeout", "retry TIMEOUT 500"],
  ["deadline", "expire"],
  ["lease_lost", "retry LEASE_LOST 500"],
  ["draining", "retry DRAINED 0"],
  ["cancelled", "cancel"],
])("after %s, whatever was thrown and whether it still runs: %s", (aborted, expected) => {
  for (const settlement of [broken, hopeless, cancelled, undefined]) {
    expect(outcome({ aborted, settlement })).toBe(expected);
  }
});

test.each<[string, Settlement, number, string]>([
  ["a failure", broken, 1, "retry BROKEN 500"],
  ["a second failure", broken, 2, "retry BROKEN 1000"],
  ["the last failure", broken, 3, "fail BROKEN"],
  ["a failure for good", hopeless, 1, "fail HOPELESS"],
  ["a handler that cancels", cancelled, 1, "cancel"],
  ["a failure with a wait of its own", { ...broken, retryDelayMs: 7 }, 1, "retry BROKEN 7"],
])("undisturbed, %s is what it is", (_what, settlement, attempt, expected) => {
  expect(outcome({ settlement, attempt })).toBe(expected);
});

test.each<[string, Partial<EndedAttempt>, string]>([
  ["failed for good, unaware", { settlement: hopeless }, "fail HOPELESS"],
  ["failed for the last time, unaware", { settlement: broken, attempt: 3 }, "fail BROKEN"],
  ["would be repeated", { settlement: broken }, "cancel"],
  ["failed for good once it knew", { settlement: hopeless, aborted: "cancelled" }, "cancel"],
  ["runs on after its grace", { aborted: "cancelled" }, "cancel"],
  ["runs on after its timeout", { aborted: "timeout" }, "cancel"],
  ["drains", { aborted: "draining", settlement: broken }, "cancel"],
])("of a task that is to be cancelled, an attempt that %s: %s", (_what, ended, expected) => {
  expect(outcome({ state: CANCELLING, ...ended })).toBe(expected);
});

test("the last attempt is not repeated for what was not its fault either", () => {
  expect(outcome({ aborted: "draining", attempt: 3 })).toBe("fail DRAINED");
  expect(outcome({ aborted: "timeout", attempt: 3 })).toBe("fail TIMEOUT");
});

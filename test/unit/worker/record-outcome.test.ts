import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";

import { JobSchema } from "../../../src/gen/taskwatch/storage/v1/record_pb.ts";
import { Priority, TaskState, TaskStatusSchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { OutcomeUnknown, storeUnavailable, WriteConflict } from "../../../src/nats/errors.ts";
import { attemptError, claim, type Draft } from "../../../src/task/lifecycle.ts";
import { defaultRetryPolicy } from "../../../src/task/retry-policy.ts";
import { type Task, taskFromFresh } from "../../../src/task/task.ts";
import { stateName } from "../../../src/task/transitions.ts";
import type { OpenedJob } from "../../../src/worker/attempt/opened-job.ts";
import type { Outcome } from "../../../src/worker/attempt/outcome.ts";
import { recordOutcome } from "../../../src/worker/attempt/record-outcome.ts";

const broken = attemptError("BROKEN", "broken", true);

/** Records an outcome through ports that fail as the script says, and returns what was done, in order. */
async function record(
  outcome: Outcome,
  script: {
    /** What the writes of the record throw, in turn. */
    readonly writes?: readonly Error[];
    readonly delay?: Error;
    readonly isOursAfterConflict?: boolean;
    readonly isStopping?: boolean;
  } = {},
) {
  const steps: string[] = [];
  const tokens: bigint[] = [];
  const failures = [...(script.writes ?? [])];
  const task = runningTask();
  const stopping = new AbortController();
  if (script.isStopping === true) stopping.abort();
  const result = recordOutcome({
    runtime: {
      leaseMs: 30_000,
      stopping: stopping.signal,
      observer: undefined,
      records: {
        write: async (draft: Draft, token: bigint) => {
          tokens.push(token);
          const failure = failures.shift();
          steps.push(`record ${stateName(draft.head.state)}${failure === undefined ? "" : `: ${failure.name}`}`);
          if (failure !== undefined) throw failure;
          return { ...draft.from, head: draft.head, mutable: draft.mutable, revision: draft.from.revision + 1 };
        },
      } as never,
      jobs: {
        bury: async () => void steps.push("bury"),
        delay: async (_message: unknown, { revision }: { readonly revision: number }) => {
          steps.push(`delay for revision ${revision}`);
          if (script.delay !== undefined) throw script.delay;
        },
      } as never,
    },
    opened: openedJob(() => void steps.push("acknowledge")),
    lease: {
      task,
      adopt: async () => {
        steps.push("adopt");
        return script.isOursAfterConflict ?? false;
      },
    },
    decide: () => outcome,
    onTrouble: (trouble) => void steps.push(`trouble: ${(trouble as Error).name}`),
  });
  const ended = await result.then(
    (written) => (written === undefined ? "lost" : stateName(written.head.state)),
    (error: Error) => error.name,
  );
  return { ended, steps, tokens };
}

function runningTask(): Task {
  const immutable = toBinary(TaskStatusSchema, create(TaskStatusSchema, { type: "t", queue: "q" }));
  const key = { queue: "q", namespace: "ns", suffix: "s" };
  const fresh = taskFromFresh({ key, immutable, priority: Priority.NORMAL, state: TaskState.QUEUED });
  const how = { worker: "w", attemptToken: 1n, jobSequence: 1, jobDelivery: 1, leaseMs: 30_000, nowMs: Date.now() };
  const { head, mutable } = claim(fresh, how);
  return { ...fresh, head, mutable, revision: 7 };
}

function openedJob(acknowledge: () => void): OpenedJob {
  return {
    delivery: { acknowledge } as never,
    fixed: create(TaskStatusSchema, { type: "t", queue: "q" }),
    job: create(JobSchema),
    isReadable: true,
    policy: defaultRetryPolicy,
  };
}

test.each<[Outcome, string[]]>([
  [{ kind: "succeed", result: undefined }, ["record SUCCEEDED", "acknowledge"]],
  [{ kind: "fail", error: broken }, ["bury", "record FAILED", "acknowledge"]],
  [{ kind: "retry", error: broken, delayMs: 1 }, ["record RETRYING", "delay for revision 8", "acknowledge"]],
  [{ kind: "cancel", message: undefined }, ["record CANCELLED", "acknowledge"]],
  [{ kind: "expire" }, ["record EXPIRED", "acknowledge"]],
])("to %o the order is such that a crash in between does no harm", async (outcome, expected) => {
  expect((await record(outcome)).steps).toEqual(expected);
});

test("a write whose fate is not known is repeated under the same token", async () => {
  const writes = [new OutcomeUnknown("no answer"), storeUnavailable(new Error("no leader"))];
  const { ended, steps, tokens } = await record({ kind: "succeed", result: undefined }, { writes });
  expect(ended).toBe("SUCCEEDED");
  expect(steps).toEqual([
    "record SUCCEEDED: OutcomeUnknown",
    "record SUCCEEDED: TaskError",
    "record SUCCEEDED",
    "acknowledge",
  ]);
  expect(new Set(tokens).size).toBe(1);
});

test("a worker that stops does not insist, and does not acknowledge what it does not know", async () => {
  const writes = [new OutcomeUnknown("no answer")];
  const { ended, steps } = await record({ kind: "succeed", result: undefined }, { writes, isStopping: true });
  expect(ended).toBe("OutcomeUnknown");
  expect(steps).toEqual(["record SUCCEEDED: OutcomeUnknown"]);
});

test("a task that turns out to be another's is left alone", async () => {
  const writes = [new WriteConflict("moved")];
  const { ended, steps } = await record({ kind: "retry", error: broken, delayMs: 1 }, { writes });
  expect(ended).toBe("lost");
  expect(steps).toEqual(["record RETRYING: WriteConflict", "adopt"]);
});

test("a task that has moved and is still ours is recorded anew, under another token", async () => {
  const writes = [new WriteConflict("moved")];
  const { ended, tokens } = await record({ kind: "expire" }, { writes, isOursAfterConflict: true });
  expect(ended).toBe("EXPIRED");
  expect(new Set(tokens).size).toBe(2);
});

test("a retry that cannot be arranged is recorded all the same, and its job comes back", async () => {
  const { ended, steps } = await record(
    { kind: "retry", error: broken, delayMs: 1 },
    { delay: storeUnavailable(undefined) },
  );
  expect(ended).toBe("RETRYING");
  expect(steps).toEqual(["record RETRYING", "delay for revision 8", "trouble: TaskError"]);
});

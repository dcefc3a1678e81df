/**
 * Records how an attempt ended. The order is what makes every crash in between harmless:
 *
 * - the record is written before the job is acknowledged: an acknowledgement that gets lost brings the job back, and it is
 *   found to be done with;
 * - a failed task's job is put aside before the record says FAILED: whoever sees that can run the task again;
 * - a retry is recorded before the message that ends its wait is stored: a job that comes back finds the record and stores the message.
 *
 * Once the record turns out to be another's, or whether the write landed cannot be found out, nothing is acknowledged.
 */

import { setTimeout as sleep } from "node:timers/promises";

import { timestampMs } from "@bufbuild/protobuf/wkt";

import { isTransient, OutcomeUnknown, WriteConflict } from "../../nats/errors.ts";
import { cancel, type Draft, expire, fail, retry, succeed } from "../../task/lifecycle.ts";
import type { Task } from "../../task/task.ts";
import { newToken } from "../../task/write-token.ts";
import type { WorkerRuntime } from "../worker-runtime.ts";
import type { Lease } from "./lease.ts";
import { messageOf, type OpenedJob } from "./opened-job.ts";
import type { Outcome } from "./outcome.ts";

/** How often an outcome is decided anew because the record has moved. It moves when somebody asks to cancel the task. */
const maxRounds = 10;
const pauseMs = 500;

/** What recording needs. */
export interface Recording {
  readonly runtime: Pick<WorkerRuntime, "records" | "jobs" | "leaseMs" | "stopping" | "observer">;
  readonly opened: OpenedJob;
  /** Quiet: what is written is written here. */
  readonly lease: Pick<Lease, "task" | "adopt">;
  /** What to record, by the task as it is then. */
  readonly decide: (task: Task) => Outcome;
  /** The outcome is recorded, and what should follow it could not be done. It is done when the job comes back. */
  readonly onTrouble: (error: unknown) => void;
}

/**
 * Returns the task as recorded; undefined if it is another's by now.
 *
 * What cannot be written now is tried again for three leases: by then somebody else has taken over. Throws what the last try
 * threw, then or as soon as the worker stops.
 */
export async function recordOutcome(recording: Recording): Promise<Task | undefined> {
  const { runtime, opened, lease, decide } = recording;
  const insist = persistence(runtime);
  for (let round = 0; round < maxRounds; round += 1) {
    const outcome = decide(lease.task);
    const draft = draftOf(outcome, lease.task, opened);
    if (outcome.kind === "fail" && opened.isReadable) await insist(() => runtime.jobs.bury(messageOf(opened)));
    const token = newToken();
    try {
      const task = await insist(() => runtime.records.write(draft, token));
      if (outcome.kind === "retry") await arrangeRetry(recording, task);
      else opened.delivery.acknowledge();
      return task;
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      runtime.observer?.recordConflict("attempt");
      if (!(await insist(() => lease.adopt(error.current)))) return undefined;
    }
  }
  throw new OutcomeUnknown("the task kept changing while its outcome was recorded");
}

function draftOf(outcome: Outcome, task: Task, { fixed }: OpenedJob): Draft {
  const nowMs = Date.now();
  switch (outcome.kind) {
    case "succeed":
      return succeed(task, { result: outcome.result, nowMs });
    case "fail":
      return fail(task, { writer: "attempt", error: outcome.error, nowMs });
    case "expire":
      return expire(task, { writer: "attempt", nowMs });
    case "cancel": {
      const { message } = outcome;
      const request = message === undefined ? {} : { request: { requestedBy: "handler", reason: message } };
      return cancel(task, { writer: "attempt", nowMs, ...request });
    }
    case "retry": {
      // A wait beyond the deadline would only put off the end.
      const deadlineMs = fixed.deadline === undefined ? Number.POSITIVE_INFINITY : timestampMs(fixed.deadline);
      const retryMs = Math.ceil(Math.max(nowMs, Math.min(nowMs + outcome.delayMs, deadlineMs)));
      return retry(task, { error: outcome.error, retryMs, nowMs });
    }
  }
}

async function arrangeRetry({ runtime, opened, onTrouble }: Recording, { head, revision }: Task): Promise<void> {
  try {
    await runtime.jobs.delay(messageOf(opened), { dueMs: Number(head.retryMs), revision });
    opened.delivery.acknowledge();
  } catch (error) {
    onTrouble(error);
  }
}

/** Repeats what may safely be done twice, for as long as that makes sense. */
function persistence({
  leaseMs,
  stopping,
}: Recording["runtime"]): <Answer>(act: () => Promise<Answer>) => Promise<Answer> {
  const untilMs = performance.now() + 3 * leaseMs;
  return async (act) => {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        const mayHelp = error instanceof OutcomeUnknown || isTransient(error);
        if (!mayHelp || stopping.aborted || performance.now() >= untilMs) throw error;
      }
      // A stop cuts the pause short, and leaves time for one more try.
      await sleep(pauseMs, undefined, { signal: stopping }).catch(() => undefined);
    }
  };
}

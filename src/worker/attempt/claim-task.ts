/**
 * From a delivered job to an attempt that may start: one write for a fresh task, which is claimed unseen, and a read before it
 * for all others. Whether the write goes through decides; when it does not, the record as it is then says what to do instead.
 * What is done with a record is decided in src/task/delivery.ts.
 */
import { timestampMs } from "@bufbuild/protobuf/wkt";

import { TaskState } from "../../gen/taskwatch/v1/task_pb.ts";
import { WriteConflict } from "../../nats/errors.ts";
import { type DeliveryStep, type DeliveryTimes, nextStep } from "../../task/delivery.ts";
import { attemptError, cancel, claim, type Draft, expire, fail } from "../../task/lifecycle.ts";
import { type Task, taskFromFresh } from "../../task/task.ts";
import { newToken } from "../../task/write-token.ts";
import type { WorkerRuntime } from "../worker-runtime.ts";
import { holdForOneLease, letGo } from "./hold.ts";
import { messageOf, type OpenedJob } from "./opened-job.ts";
import { reportClaimed, reportLostAttempt, reportTask } from "./report.ts";

/** How often a task that keeps changing is looked at again. */
const maxRounds = 10;

/** A task with an attempt that is ours. */
export interface ClaimedTask {
  readonly task: Task;
  /** When the claim was sent, in ms of the monotonic clock. */
  readonly claimedMs: number;
}

/**
 * Starts an attempt, or does what else there is to do with the job; then returns undefined.
 *
 * Throws `OutcomeUnknown` and `TaskError` when NATS cannot be asked. The job is then left alone, and comes again.
 */
export async function claimTask(runtime: WorkerRuntime, opened: OpenedJob): Promise<ClaimedTask | undefined> {
  const { delivery } = opened;
  let step: DeliveryStep = "claim";
  let record: Task | undefined;
  if (delivery.expectedRevision !== 0) {
    record = await runtime.records.read(delivery.key);
    step = nextStep(delivery, record, timesOf(opened));
  }
  for (let round = 0; round < maxRounds; round += 1) {
    try {
      return await takeStep({ runtime, opened, record }, step);
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      runtime.observer?.recordConflict(step === "takeover" || step === "hold" ? "takeover" : "claim");
      record = error.current ?? (await runtime.records.read(delivery.key));
      step = nextStep(delivery, record, timesOf(opened));
    }
  }
  return undefined;
}

interface Visit {
  readonly runtime: WorkerRuntime;
  readonly opened: OpenedJob;
  /** As read; undefined if there is none, or it was not looked for. */
  readonly record: Task | undefined;
}

async function takeStep(visit: Visit, step: DeliveryStep): Promise<ClaimedTask | undefined> {
  const { delivery } = visit.opened;
  switch (step) {
    case "claim":
      return startFrom(visit, visit.record ?? freshTask(visit.opened));
    case "renew":
      return startFrom(visit, { ...freshTask(visit.opened), revision: visit.record?.revision ?? 0 });
    case "takeover":
      return visit.record === undefined ? undefined : takeOver(visit, visit.record);
    case "hold":
      return visit.record === undefined ? undefined : hold(visit, visit.record);
    case "delay":
      if (visit.record !== undefined) await delayAgain(visit, visit.record);
      delivery.acknowledge();
      return undefined;
    case "drop":
      delivery.acknowledge();
      return undefined;
  }
}

function freshTask({ delivery: { key, immutable, priority }, job }: OpenedJob): Task {
  return taskFromFresh({ key, immutable, priority, state: TaskState.QUEUED }, job);
}

async function startFrom({ runtime, opened }: Visit, from: Task): Promise<ClaimedTask | undefined> {
  const nowMs = Date.now();
  if (hasPassed(opened, nowMs)) {
    await end({ runtime, opened }, expire(from, { writer: "claim", nowMs }));
    return undefined;
  }
  const claimed = await start({ runtime, opened }, from, nowMs);
  reportClaimed(runtime, opened, from);
  return claimed;
}

async function takeOver({ runtime, opened }: Omit<Visit, "record">, from: Task): Promise<ClaimedTask | undefined> {
  const nowMs = Date.now();
  const draft = endingTakeover(opened, from, nowMs);
  if (draft === undefined) {
    const claimed = await start({ runtime, opened }, from, nowMs);
    reportLostAttempt(runtime, opened, claimed.task);
    return claimed;
  }
  if (draft.head.state === TaskState.FAILED && opened.isReadable) await runtime.jobs.bury(messageOf(opened));
  reportLostAttempt(runtime, opened, await end({ runtime, opened }, draft));
  return undefined;
}

/** The end of a task whose attempt was lost; undefined if it may have another. */
function endingTakeover(opened: OpenedJob, from: Task, nowMs: number): Draft | undefined {
  if (from.head.state === TaskState.CANCELLING) return cancel(from, { writer: "takeover", nowMs });
  if (hasPassed(opened, nowMs)) return expire(from, { writer: "takeover", nowMs });
  if (from.head.attempt < opened.policy.maxAttempts) return undefined;
  const error = attemptError("CRASH_LOOP", "the worker of the last attempt fell silent", false);
  return fail(from, { writer: "takeover", error, nowMs });
}

async function hold({ runtime, opened }: Visit, record: Task): Promise<ClaimedTask | undefined> {
  const { delivery } = opened;
  const found = await holdForOneLease(runtime, delivery);
  if (found === undefined) {
    letGo(delivery, record, 0);
    return undefined;
  }
  if (found.revision === record.revision) return takeOver({ runtime, opened }, found);
  const step = nextStep(delivery, found, timesOf(opened));
  if (step !== "hold") return takeStep({ runtime, opened, record: found }, step);
  letGo(delivery, found, runtime.leaseMs);
  return undefined;
}

/** The wait that should have followed the attempt may not have been arranged: its worker may have died in between. */
async function delayAgain({ runtime, opened }: Visit, { head, revision }: Task): Promise<void> {
  await runtime.jobs.delay(messageOf(opened), { dueMs: Number(head.retryMs), revision });
}

async function start({ runtime, opened }: Omit<Visit, "record">, from: Task, nowMs: number): Promise<ClaimedTask> {
  const { jobSequence, jobDelivery } = opened.delivery;
  const { name: worker, leaseMs } = runtime;
  const claimedMs = performance.now();
  const draft = claim(from, { worker, attemptToken: newToken(), jobSequence, jobDelivery, leaseMs, nowMs });
  return { task: await runtime.records.write(draft, newToken()), claimedMs };
}

async function end({ runtime, opened }: Omit<Visit, "record">, draft: Draft): Promise<Task> {
  const task = await runtime.records.write(draft, newToken());
  opened.delivery.acknowledge();
  reportTask(runtime, opened, task);
  return task;
}

function timesOf({ fixed: { createTime } }: OpenedJob): DeliveryTimes {
  return { nowMs: Date.now(), createMs: createTime === undefined ? 0 : timestampMs(createTime) };
}

function hasPassed({ fixed: { deadline } }: OpenedJob, nowMs: number): boolean {
  return deadline !== undefined && nowMs >= timestampMs(deadline);
}

/**
 * What each step of the state machine does to a task: pure functions from a task and what happened to the draft of its
 * next record. Who may take which step is the table in transitions.ts; that nobody else took one meanwhile is the
 * compare-and-set with which a draft is written.
 */
import { create } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";

import type { RecordHead } from "../gen/taskwatch/storage/v1/record_pb.ts";
import {
  type Attempt,
  Attempt_Outcome,
  AttemptSchema,
  type AttemptError,
  type Content,
  type Progress,
  TaskState,
  type TaskStatus,
  TimeLedgerSchema,
  Wait_Reason,
  WaitSchema,
} from "../gen/taskwatch/v1/task_pb.ts";
import { decodeImmutable, type Task } from "./task.ts";
import { assertTransition, isTerminal, type Writer } from "./transitions.ts";

/**
 * How much longer than its status is shown a record is stored: the longest lease. A job whose acknowledgement was lost comes back
 * within that time, and must find out that its task has ended.
 */
export const lingerMs = 3_600_000;

/** How many attempts a status lists; older ones are left out. */
export const listedAttempts = 10;

/** A record that is ready to be written over `from`. */
export interface Draft {
  readonly from: Task;
  readonly writer: Writer;
  readonly head: RecordHead;
  readonly mutable: TaskStatus;
  /** How long the record is stored after the write; undefined while the task has not ended. */
  readonly ttlMs: number | undefined;
}

/** What a claim or a takeover knows. */
export interface Claim {
  readonly worker: string;
  readonly attemptToken: bigint;
  /** The stream sequence and delivery count of the job. */
  readonly jobSequence: number;
  readonly jobDelivery: number;
  readonly leaseMs: number;
  readonly nowMs: number;
}

/** Starts the next attempt: the first one, one after a backoff, or one in place of an attempt that was lost. */
export function claim(task: Task, { worker, attemptToken, jobSequence, jobDelivery, leaseMs, nowMs }: Claim): Draft {
  const takeover = task.head.state === TaskState.RUNNING;
  return draft(task, { writer: takeover ? "takeover" : "claim", state: TaskState.RUNNING, nowMs }, (mutable, head) => {
    if (takeover) closeAttempt(mutable, { outcome: Attempt_Outcome.LOST, error: leaseLost, nowMs });
    else closeWait(task, mutable, nowMs);
    head.attempt = task.head.attempt + 1;
    head.attemptToken = attemptToken;
    head.jobSequence = BigInt(jobSequence);
    head.jobDelivery = jobDelivery;
    const startTime = timestampFromMs(nowMs);
    mutable.attempt = head.attempt;
    mutable.worker = worker;
    mutable.startTime ??= startTime;
    mutable.leaseExpireTime = timestampFromMs(nowMs + leaseMs);
    mutable.progress = undefined;
    mutable.error = undefined;
    mutable.attempts.push(create(AttemptSchema, { number: head.attempt, worker, startTime }));
    if (mutable.attempts.length > listedAttempts) mutable.attempts.shift();
  });
}

/** Shows that the attempt is alive. Not a change that watchers are told of. */
export function heartbeat(task: Task, { leaseMs, nowMs }: { readonly leaseMs: number; readonly nowMs: number }): Draft {
  const step = { writer: "attempt", state: task.head.state, nowMs, silent: true } as const;
  return draft(task, step, (mutable) => {
    mutable.leaseExpireTime = timestampFromMs(nowMs + leaseMs);
  });
}

/** Shows how far the attempt is, and that it is alive. */
export function reportProgress(
  task: Task,
  { progress, leaseMs, nowMs }: { readonly progress: Progress; readonly leaseMs: number; readonly nowMs: number },
): Draft {
  return draft(task, { writer: "attempt", state: task.head.state, nowMs }, (mutable) => {
    mutable.progress = progress;
    mutable.leaseExpireTime = timestampFromMs(nowMs + leaseMs);
  });
}

/** Ends the task with what its handler returned. */
export function succeed(
  task: Task,
  { result, nowMs }: { readonly result: Content | undefined; readonly nowMs: number },
): Draft {
  return draft(task, { writer: "attempt", state: TaskState.SUCCEEDED, nowMs }, (mutable) => {
    closeAttempt(mutable, { outcome: Attempt_Outcome.SUCCEEDED, nowMs });
    mutable.result = result;
    mutable.error = undefined;
  });
}

/** Ends the attempt; the next one may start at `retryMs`. */
export function retry(
  task: Task,
  { error, retryMs, nowMs }: { readonly error: AttemptError; readonly retryMs: number; readonly nowMs: number },
): Draft {
  return draft(task, { writer: "attempt", state: TaskState.RETRYING, nowMs }, (mutable, head) => {
    closeAttempt(mutable, { outcome: Attempt_Outcome.FAILED, error, nowMs });
    head.retryMs = BigInt(retryMs);
    mutable.error = error;
    mutable.wait = create(WaitSchema, { reason: Wait_Reason.BACKOFF, until: timestampFromMs(retryMs) });
  });
}

/** Ends the task without success: no attempt is left, or none would help. */
export function fail(
  task: Task,
  {
    writer,
    error,
    nowMs,
  }: { readonly writer: "attempt" | "takeover" | "sweeper"; readonly error: AttemptError; readonly nowMs: number },
): Draft {
  return draft(task, { writer, state: TaskState.FAILED, nowMs }, (mutable) => {
    if (writer === "attempt") closeAttempt(mutable, { outcome: Attempt_Outcome.FAILED, error, nowMs });
    else closeAttempt(mutable, { outcome: Attempt_Outcome.LOST, error: leaseLost, nowMs });
    mutable.error = error;
  });
}

/** Asks the running attempt to stop. */
export function requestCancel(
  task: Task,
  request: { readonly requestedBy: string; readonly reason: string; readonly graceMs: number; readonly nowMs: number },
): Draft {
  return draft(task, { writer: "api", state: TaskState.CANCELLING, nowMs: request.nowMs }, (mutable) => {
    mutable.cancellation = cancellation(request);
  });
}

/** Ends the task as cancelled: at once if it waits, by its attempt or a takeover if it ran. */
export function cancel(
  task: Task,
  options: {
    readonly writer: "api" | "attempt" | "takeover";
    readonly nowMs: number;
    /** Who asked, where the status does not say so yet. */
    readonly request?: { readonly requestedBy: string; readonly reason: string };
  },
): Draft {
  const { writer, nowMs, request } = options;
  return draft(task, { writer, state: TaskState.CANCELLED, nowMs }, (mutable) => {
    if (writer === "attempt") closeAttempt(mutable, { outcome: Attempt_Outcome.CANCELLED, nowMs });
    else if (writer === "takeover") closeAttempt(mutable, { outcome: Attempt_Outcome.LOST, error: leaseLost, nowMs });
    else closeWait(task, mutable, nowMs);
    if (request !== undefined) mutable.cancellation = cancellation({ ...request, graceMs: 0, nowMs });
  });
}

/** Ends the task because its deadline has passed. */
export function expire(task: Task, { writer, nowMs }: { readonly writer: Writer; readonly nowMs: number }): Draft {
  return draft(task, { writer, state: TaskState.EXPIRED, nowMs }, (mutable) => {
    if (writer === "attempt") closeAttempt(mutable, { outcome: Attempt_Outcome.EXPIRED, error: deadlinePassed, nowMs });
    else if (writer === "takeover") closeAttempt(mutable, { outcome: Attempt_Outcome.LOST, error: leaseLost, nowMs });
    else closeWait(task, mutable, nowMs);
    mutable.error = deadlinePassed;
  });
}

const leaseLost = attemptError("LEASE_LOST", "the worker fell silent for longer than its lease", true);
const deadlinePassed = attemptError("DEADLINE_EXCEEDED", "the deadline of the task passed", false);

/** The error of the service's own making, without details. */
export function attemptError(code: string, message: string, retryable: boolean): AttemptError {
  return { $typeName: "taskwatch.v1.AttemptError", code, message, retryable, details: {} };
}

interface Step {
  readonly writer: Writer;
  readonly state: TaskState;
  readonly nowMs: number;
  /** A write that watchers are not told of. */
  readonly silent?: boolean;
}

/** What a step changes is copied first, and nothing else: a deep copy would cost more than the rest of a claim. */
function draft(task: Task, step: Step, change: (mutable: TaskStatus, head: RecordHead) => void): Draft {
  const { writer, state, nowMs, silent = false } = step;
  assertTransition(task.head.state, state, writer);
  const head = { ...task.head };
  const mutable = { ...task.mutable, attempts: task.mutable.attempts.map((attempt) => ({ ...attempt })) };
  if (task.mutable.timeLedger !== undefined) mutable.timeLedger = { ...task.mutable.timeLedger };
  head.state = state;
  mutable.state = state;
  if (!silent) {
    head.change += 1;
    mutable.updateTime = timestampFromMs(nowMs);
    mutable.wait = undefined;
  }
  change(mutable, head);
  if (!isTerminal(state)) return { from: task, writer, head, mutable, ttlMs: undefined };
  const retentionMs = Number(head.retentionMs);
  head.expireMs = BigInt(nowMs + retentionMs);
  mutable.endTime = timestampFromMs(nowMs);
  mutable.expireTime = timestampFromMs(nowMs + retentionMs);
  mutable.leaseExpireTime = undefined;
  return { from: task, writer, head, mutable, ttlMs: lingerMs + Math.max(retentionMs, waitLeftMs(task, nowMs)) };
}

/** How long a message of the task may still wait on its stream for its time, if taking it away from there should fail. */
function waitLeftMs(task: Task, nowMs: number): number {
  const { until } = task.mutable.wait ?? {};
  return until === undefined ? 0 : timestampMs(until) - nowMs;
}

function closeAttempt(
  mutable: TaskStatus,
  {
    outcome,
    error,
    nowMs,
  }: { readonly outcome: Attempt_Outcome; readonly error?: AttemptError; readonly nowMs: number },
): void {
  const attempt = lastAttempt(mutable);
  if (attempt === undefined || attempt.outcome !== Attempt_Outcome.UNSPECIFIED) return;
  attempt.outcome = outcome;
  attempt.error = error;
  attempt.endTime = timestampFromMs(nowMs);
  if (attempt.startTime !== undefined) spend(mutable, "running", nowMs - timestampMs(attempt.startTime));
}

/** Books the time between the last write and now: as backoff up to when the retry was due, as queued from then on. */
function closeWait(task: Task, mutable: TaskStatus, nowMs: number): void {
  if (task.head.state === TaskState.RETRYING) {
    const dueMs = Math.min(Number(task.head.retryMs), nowMs);
    const ended = lastAttempt(mutable)?.endTime;
    if (ended !== undefined) spend(mutable, "backoff", dueMs - timestampMs(ended));
    spend(mutable, "queued", nowMs - dueMs);
    return;
  }
  const { createTime, scheduleTime } = decodeImmutable(task);
  if (createTime === undefined) return;
  const createMs = timestampMs(createTime);
  spend(
    mutable,
    "queued",
    nowMs - Math.max(createMs, scheduleTime === undefined ? createMs : timestampMs(scheduleTime)),
  );
}

function spend(mutable: TaskStatus, what: "queued" | "running" | "backoff", ms: number): void {
  const ledger = (mutable.timeLedger ??= create(TimeLedgerSchema));
  const before = ledger[what];
  // Two machines' clocks may disagree; a negative span is not shown to people.
  ledger[what] = durationFromMs((before === undefined ? 0 : durationMs(before)) + Math.max(0, ms));
}

function lastAttempt(mutable: TaskStatus): Attempt | undefined {
  return mutable.attempts.at(-1);
}

function cancellation(request: {
  readonly requestedBy: string;
  readonly reason: string;
  readonly graceMs: number;
  readonly nowMs: number;
}): NonNullable<TaskStatus["cancellation"]> {
  return {
    $typeName: "taskwatch.v1.Cancellation",
    requestedBy: request.requestedBy,
    reason: request.reason,
    requestTime: timestampFromMs(request.nowMs),
    grace: durationFromMs(request.graceMs),
  };
}

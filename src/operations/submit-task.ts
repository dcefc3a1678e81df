import type { SubmitTaskRequest, SubmitTasksRequest } from "../gen/taskwatch/v1/task_service_pb.ts";
import { OutcomeUnknown, WriteConflict } from "../nats/errors.ts";
import type { Jobs, WaitingTask } from "../nats/jobs.ts";
import type { StatusRecords } from "../nats/records.ts";
import type { Store } from "../nats/store.ts";
import { TaskError, toTaskError } from "../task/errors.ts";
import { type Submission, submissionFromRequest } from "../task/submission.ts";
import { taskIdFromKey, type TaskKey } from "../task/task-id.ts";
import { type FreshTask, snapshotOfTask, type StatusSnapshot, type Task, taskFromFresh } from "../task/task.ts";
import type { StatusReader } from "../view/read-status.ts";
import type { Caller, Submitted } from "./operations.ts";

/** What submitting needs. */
export interface SubmitPorts {
  readonly store: Store;
  readonly jobs: Jobs;
  readonly records: StatusRecords;
  readonly reader: Pick<StatusReader, "mayHaveRecord">;
  /** Shows the task to readers of this process at once, rather than when NATS tells of it. */
  readonly addFresh: (task: FreshTask) => void;
  /** Where a watch continues that has seen this status. */
  readonly resumeTokenFor: (status: StatusSnapshot) => string;
  readonly observer?: SubmitObserver | undefined;
  readonly nowMs: () => number;
}

/** Is told of each submission. */
export interface SubmitObserver {
  taskSubmitted(fact: {
    readonly queue: string;
    readonly type: string;
    readonly result: "accepted" | "duplicate" | "rejected";
  }): void;
}

/** Who submits, and what the new task is made from. */
export interface SubmitContext {
  readonly caller: Caller;
  readonly signal: AbortSignal;
}

/**
 * Accepts a task: one durable write, which the server refuses if there is a message for the same id already.
 *
 * With a `request_id` the id is a function of it. The record is looked up first, since a task that has been claimed may
 * have no message left; a message that is there makes the write fail, and is then compared.
 */
export async function submitTask(
  ports: SubmitPorts,
  request: SubmitTaskRequest,
  { caller, signal }: SubmitContext,
): Promise<Submitted> {
  const { queue, type } = request;
  try {
    const accepted = await accept(ports, request, { caller, signal });
    ports.observer?.taskSubmitted({ queue, type, result: accepted.duplicate ? "duplicate" : "accepted" });
    return accepted;
  } catch (error) {
    ports.observer?.taskSubmitted({ queue, type, result: "rejected" });
    throw error;
  }
}

/** Accepts many tasks, each by itself. Two of one call with the same `request_id` are one task. */
export async function submitTasks(
  ports: SubmitPorts,
  { requests }: SubmitTasksRequest,
  context: SubmitContext,
): Promise<(Submitted | TaskError)[]> {
  return Promise.all(requests.map((request) => submitTask(ports, request, context).catch(toTaskError)));
}

async function accept(ports: SubmitPorts, request: SubmitTaskRequest, context: SubmitContext): Promise<Submitted> {
  const { store, jobs, nowMs } = ports;
  const { caller, signal } = context;
  const queue = await store.queue(request.queue);
  const submission = submissionFromRequest(request, {
    ids: store.ids,
    namespace: caller.namespace,
    nowMs: nowMs(),
    settings: queue.record.settings,
    traceparent: caller.traceparent,
  });
  const { key } = submission.task;
  const earlier = submission.repeatable ? await findRecord(ports, key, signal) : undefined;
  if (earlier !== undefined) return repeat(ports, submission, earlier);
  let sequence: number;
  try {
    sequence = await jobs.submit(submission);
  } catch (error) {
    return explainFailure(ports, submission, error);
  }
  // Somebody may have submitted the same id since the look-up, and a worker may be done with it: no message was left then.
  const rival = submission.repeatable ? await findRival(ports, key, signal) : undefined;
  if (rival !== undefined && !isSame(rival, submission)) {
    await jobs.withdraw(submission, sequence);
    return repeat(ports, submission, rival);
  }
  ports.addFresh(submission.task);
  return submitted(ports, taskFromFresh(submission.task), false);
}

/** As `findRecord`, for who has written already: if nobody can be asked, what was written is still there. */
function findRival(ports: SubmitPorts, key: TaskKey, signal: AbortSignal): Promise<Found | undefined> {
  return findRecord(ports, key, signal).catch((cause: unknown) => {
    throw outcomeUnknown(key, cause);
  });
}

/** The record of a task, unless it is only still stored because the store forgets late. */
async function findRecord(
  { reader, records, nowMs }: SubmitPorts,
  key: TaskKey,
  signal: AbortSignal | undefined,
): Promise<Found | undefined> {
  if (signal !== undefined && !(await reader.mayHaveRecord(key, signal))) return undefined;
  const record = await records.read(key, signal);
  if (record === undefined) return undefined;
  const { expireMs, fingerprint } = record.head;
  return expireMs !== 0n && Number(expireMs) <= nowMs() ? undefined : { task: record, fingerprint };
}

/** What a failed write means: it may have landed all the same, or the task was there before. */
async function explainFailure(ports: SubmitPorts, submission: Submission, error: unknown): Promise<Submitted> {
  if (!(error instanceof WriteConflict || error instanceof OutcomeUnknown)) throw error;
  const { key } = submission.task;
  const found = await find(ports, key).catch((cause: unknown) => {
    throw outcomeUnknown(key, cause);
  });
  if (found === undefined) {
    if (error instanceof OutcomeUnknown) throw outcomeUnknown(key, error);
    // Another submission's message was there, and has gone since: its task has ended and is no longer kept.
    throw new TaskError("CONFLICT", "the task changed while it was submitted", { cause: error, retryDelayMs: 100 });
  }
  // An id that the caller did not choose is nobody else's: the write whose answer was lost has landed.
  if (!submission.repeatable) return submitted(ports, found.task, false);
  return repeat(ports, submission, found);
}

interface Found {
  readonly task: Task;
  readonly fingerprint: Uint8Array;
}

async function find(ports: SubmitPorts, key: TaskKey): Promise<Found | undefined> {
  const waiting: WaitingTask | undefined = await ports.jobs.findFresh(key);
  // Read after the job, because the record is written before the job goes.
  const record = await findRecord(ports, key, undefined);
  if (record !== undefined) return record;
  return waiting === undefined ? undefined : { task: waiting.task, fingerprint: waiting.job.fingerprint };
}

function repeat(ports: SubmitPorts, submission: Submission, earlier: Found): Submitted {
  if (isSame(earlier, submission)) return submitted(ports, earlier.task, true);
  const taskId = taskIdFromKey(submission.task.key);
  throw new TaskError("REQUEST_ID_REUSED", `request_id was used for task ${taskId} with other content`, {
    metadata: { task_id: taskId },
    fields: [{ field: "request_id", description: "was used with other content", rule: "REQUEST_ID_REUSED" }],
  });
}

function isSame({ fingerprint }: Found, { job }: Submission): boolean {
  return Buffer.compare(fingerprint, job.fingerprint) === 0;
}

function submitted(ports: SubmitPorts, task: Task, duplicate: boolean): Submitted {
  const status = snapshotOfTask(task);
  return { status, resumeToken: ports.resumeTokenFor(status), duplicate };
}

function outcomeUnknown(key: TaskKey, cause: unknown): TaskError {
  return new TaskError(
    "OUTCOME_UNKNOWN",
    "the task may or may not have been accepted; repeat the call with the same request_id to find out",
    { cause, retryDelayMs: 1_000, metadata: { task_id: taskIdFromKey(key) } },
  );
}

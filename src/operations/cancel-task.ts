import { durationMs } from "@bufbuild/protobuf/wkt";

import { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import type { CancelTaskRequest } from "../gen/taskwatch/v1/task_service_pb.ts";
import { OutcomeUnknown, WriteConflict } from "../nats/errors.ts";
import type { Jobs } from "../nats/jobs.ts";
import type { StatusRecords } from "../nats/records.ts";
import type { Store } from "../nats/store.ts";
import { TaskError, taskExpired, taskNotFound } from "../task/errors.ts";
import { cancel, type Draft, requestCancel } from "../task/lifecycle.ts";
import { taskKeyFromId, type TaskKey } from "../task/task-id.ts";
import { decodeImmutable, snapshotOfTask, type StatusSnapshot, type Task } from "../task/task.ts";
import { isTerminal, stateName } from "../task/transitions.ts";
import { newToken } from "../task/write-token.ts";
import type { Caller } from "./operations.ts";

const defaultGraceMs = 30_000;
/** How often a cancellation that lost a race looks again. A running task moves a few times a second at most. */
const maxRounds = 20;

/** What cancelling needs. */
export interface CancelPorts {
  readonly store: Store;
  readonly jobs: Jobs;
  readonly records: StatusRecords;
  readonly observer?: CancelObserver | undefined;
  readonly nowMs: () => number;
}

/** Is told of each task that a caller ended. */
export interface CancelObserver {
  taskCompleted(fact: { readonly queue: string; readonly type: string; readonly outcome: "cancelled" }): void;
}

/**
 * Cancels a task that waits, or asks its running attempt to stop. Once this returns, the request is in the record: a worker
 * that misses the hint finds it with its next heartbeat, and one that is gone leaves it to whoever takes over.
 */
export async function cancelTask(
  ports: CancelPorts,
  request: CancelTaskRequest,
  { caller, signal }: { readonly caller: Caller; readonly signal: AbortSignal },
): Promise<StatusSnapshot> {
  const key = taskKeyFromId(caller.namespace, request.taskId);
  if (key === undefined) throw taskNotFound(request.taskId);
  for (let round = 0; round < maxRounds; round += 1) {
    signal.throwIfAborted();
    const task = await findTask(ports, key, signal);
    if (task === undefined)
      throw ports.store.ids.isOurs(key) ? taskExpired(request.taskId) : taskNotFound(request.taskId);
    const settled = alreadySettled(task, request.taskId);
    if (settled !== undefined) return settled;
    try {
      const written = await ports.records.write(draftFor(task, request, { caller, nowMs: ports.nowMs() }), newToken());
      await follow(ports, written);
      return snapshotOfTask(written);
    } catch (error) {
      if (error instanceof OutcomeUnknown) throw outcomeUnknown(request.taskId, error);
      if (!(error instanceof WriteConflict)) throw error;
    }
  }
  throw new TaskError("CONFLICT", "the task kept changing while it was cancelled", { retryDelayMs: 100 });
}

async function findTask({ jobs, records }: CancelPorts, key: TaskKey, signal: AbortSignal): Promise<Task | undefined> {
  const record = await records.read(key, signal);
  if (record !== undefined) return record;
  const waiting = await jobs.findFresh(key, signal);
  if (waiting !== undefined) return waiting.task;
  // Claimed between the two: its job may be gone already, and its record is there.
  return records.read(key, signal);
}

function alreadySettled(task: Task, taskId: string): StatusSnapshot | undefined {
  const { state } = task.head;
  if (state === TaskState.CANCELLED || state === TaskState.CANCELLING) return snapshotOfTask(task);
  if (!isTerminal(state)) return undefined;
  throw new TaskError("TASK_ALREADY_ENDED", `task has ended as ${stateName(state)}`, {
    metadata: { task_id: taskId, state: stateName(state) },
  });
}

function draftFor(
  task: Task,
  request: CancelTaskRequest,
  { caller, nowMs }: { readonly caller: Caller; readonly nowMs: number },
): Draft {
  const by = { requestedBy: caller.name, reason: request.reason };
  if (task.head.state !== TaskState.RUNNING) return cancel(task, { writer: "api", nowMs, request: by });
  const graceMs = request.grace === undefined ? defaultGraceMs : durationMs(request.grace);
  return requestCancel(task, { ...by, graceMs, nowMs });
}

async function follow({ jobs, observer }: CancelPorts, task: Task): Promise<void> {
  const { key, head } = task;
  if (head.state === TaskState.CANCELLING) {
    jobs.hint(key);
    return;
  }
  observer?.taskCompleted({ queue: key.queue, type: decodeImmutable(task).type, outcome: "cancelled" });
  // Only tidies up: a worker that is given the job all the same finds the record, and drops it.
  await jobs.remove(key, head.priority).catch(() => undefined);
}

function outcomeUnknown(taskId: string, cause: unknown): TaskError {
  return new TaskError(
    "OUTCOME_UNKNOWN",
    "the cancellation may or may not have been accepted; repeat the call to find out",
    {
      cause,
      retryDelayMs: 1_000,
      metadata: { task_id: taskId },
    },
  );
}

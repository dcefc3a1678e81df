import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";

import { Priority, TaskState, TaskStatusSchema } from "../../src/gen/taskwatch/v1/task_pb.ts";
import type { FollowedRecord } from "../../src/nats/followed-record.ts";
import { createTaskIds, taskIdFromKey, type TaskKey } from "../../src/task/task-id.ts";
import { type FreshTask, queuedChange, scheduledChange } from "../../src/task/task.ts";
import { isTerminal } from "../../src/task/transitions.ts";
import { ViewState } from "../../src/view/view-state.ts";

const ids = createTaskIds(new Uint8Array(32));

/** A change of a task as watchers may see it. */
export interface ModelChange {
  /** 0 for a state without a record. */
  readonly revision: number;
  readonly change: number;
  readonly state: TaskState;
}

/** A task of the model store. */
export interface ModelTask {
  readonly key: TaskKey;
  readonly taskId: string;
  readonly immutable: Uint8Array;
  /** What watchers may see, in order. */
  readonly changes: ModelChange[];
  /** The revision of its record, heartbeats included; 0 while it has none. */
  revision: number;
}

/** What a made-up task is like; every field has a default. */
export interface ModelTaskOptions {
  readonly namespace?: string;
  readonly queue?: string;
  readonly type?: string;
  readonly labels?: Record<string, string>;
  readonly createMs?: number;
  readonly scheduled?: boolean;
}

/** A task that is QUEUED, or SCHEDULED. */
export function modelTask(options: ModelTaskOptions = {}): ModelTask {
  const { namespace = "ns", queue = "q", type = "t", labels = {}, createMs = 1_000, scheduled = false } = options;
  const key = ids.create({ namespace, queue, nowMs: createMs });
  const taskId = taskIdFromKey(key);
  const fixed = { taskId, queue, type, labels, createTime: timestampFromMs(createMs) };
  return {
    key,
    taskId,
    immutable: toBinary(TaskStatusSchema, create(TaskStatusSchema, fixed)),
    changes: [
      scheduled
        ? { revision: 0, change: scheduledChange, state: TaskState.SCHEDULED }
        : { revision: 0, change: queuedChange, state: TaskState.QUEUED },
    ],
    revision: 0,
  };
}

/** What a task is now. */
export function currentOf({ changes }: ModelTask): ModelChange {
  return changes[changes.length - 1]!;
}

/** Whether a task has ended. */
export function isOver(task: ModelTask): boolean {
  return isTerminal(currentOf(task).state);
}

/** The store as writers see it: every write gets the next revision and reaches the views that follow. */
export class ModelStore {
  readonly tasks: readonly ModelTask[];
  readonly #followers = new Set<ViewState>();
  revision = 0;

  constructor(tasks: readonly ModelTask[]) {
    this.tasks = tasks;
  }

  /** A view that has read the store and follows it. */
  openView(): ViewState {
    const fail = (error: unknown): never => {
      throw error instanceof Error ? error : new Error(String(error));
    };
    const state = new ViewState({
      nowMs: () => 5_000,
      onApplied: () => undefined,
      onIndexFailed: fail,
      onTrouble: (what, detail) => fail(`${what}: ${detail}`),
    });
    this.follow(state);
    return state;
  }

  /** Has a view read the store and follow it. */
  follow(state: ViewState): void {
    this.fill(state);
    this.#followers.add(state);
  }

  /** Has a view forget everything and read the store from its beginning. */
  fill(state: ViewState): void {
    state.clear();
    for (const task of this.tasks) if (task.revision === 0) state.addFresh(freshOf(task));
    const records = this.tasks.filter(({ revision }) => revision > 0);
    for (const task of records.toSorted((a, b) => a.revision - b.revision)) state.addRecord(recordOf(task));
    state.moveTo(this.revision);
  }

  closeView(state: ViewState): void {
    this.#followers.delete(state);
    state.close(new Error("closed"));
  }

  /** The time of a scheduled task has come. */
  queue(task: ModelTask): void {
    if (currentOf(task).state !== TaskState.SCHEDULED) return;
    task.changes.push({ revision: 0, change: queuedChange, state: TaskState.QUEUED });
    for (const state of this.#followers) state.addFresh(freshOf(task));
  }

  /** Writes the next state of a task that has not ended; the views get it as a slice of a larger buffer, if one is named. */
  write(task: ModelTask, state: TaskState, { inBufferOf = 0 }: { readonly inBufferOf?: number } = {}): void {
    if (isOver(task)) return;
    const { change } = currentOf(task);
    this.revision += 1;
    task.revision = this.revision;
    task.changes.push({ revision: this.revision, change: change + 1, state });
    const record = recordOf(task);
    const buffer = Buffer.alloc(record.bytes.length + inBufferOf);
    buffer.set(record.bytes);
    const bytes = buffer.subarray(0, record.bytes.length);
    for (const follower of this.#followers) follower.addRecord({ ...record, bytes });
  }

  /** Cancels a task for one who has not seen that it is QUEUED by now: the change has the number of that. */
  cancelAsScheduled(task: ModelTask): void {
    if (task.revision > 0) return;
    this.revision += 1;
    task.revision = this.revision;
    task.changes.push({ revision: this.revision, change: scheduledChange + 1, state: TaskState.CANCELLED });
    for (const follower of this.#followers) follower.addRecord(recordOf(task));
  }

  /** Writes the record anew without a change to be seen. */
  heartbeat(task: ModelTask): void {
    if (isOver(task) || task.revision === 0) return;
    this.revision += 1;
    task.revision = this.revision;
    for (const follower of this.#followers) follower.addRecord(recordOf(task));
  }
}

/** A task as the queue tells of it. */
export function freshOf(task: ModelTask): FreshTask {
  const state = currentOf(task).state === TaskState.SCHEDULED ? TaskState.SCHEDULED : TaskState.QUEUED;
  return { key: task.key, immutable: task.immutable, state, priority: Priority.NORMAL };
}

/** The record of a task as it is now. */
export function recordOf(task: ModelTask, expireMs = 0): FollowedRecord {
  const { state, change } = currentOf(task);
  const mutable = toBinary(TaskStatusSchema, create(TaskStatusSchema, { state }));
  return {
    key: task.key,
    revision: task.revision,
    state,
    change,
    expireMs,
    bytes: Buffer.concat([task.immutable, mutable]),
    immutableLength: task.immutable.length,
    writtenMs: 0,
  };
}

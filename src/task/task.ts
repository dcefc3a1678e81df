import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";

import { type Job, type RecordHead, RecordHeadSchema } from "../gen/taskwatch/storage/v1/record_pb.ts";
import {
  type Priority,
  TaskState,
  type TaskStatus,
  TaskStatusSchema,
  Wait_Reason,
} from "../gen/taskwatch/v1/task_pb.ts";
import { type TaskKey, taskIdFromKey } from "./task-id.ts";
import { isTerminal } from "./transitions.ts";

/**
 * A task at one revision, as its writers see it.
 *
 * Its status is kept in two parts: the immutable one, encoded once at submit and carried in the job, and the mutable one.
 * Protobuf merges concatenated messages, so the whole status is the one followed by the other.
 */
export interface Task {
  readonly key: TaskKey;
  /** The revision of its record; 0 for a fresh task, which has none. */
  readonly revision: number;
  readonly head: RecordHead;
  /** An encoded TaskStatus: what was fixed at submit. */
  readonly immutable: Uint8Array;
  /** The rest. Only fields that may change are set. */
  readonly mutable: TaskStatus;
}

/** A status at one revision, as its readers hand it on: not decoded unless somebody asks. */
export interface StatusSnapshot {
  readonly key: TaskKey;
  /** The revision of its record; 0 for a fresh task. */
  readonly revision: number;
  readonly state: TaskState;
  /** Counts the changes that watchers may see. */
  readonly change: number;
  /** When it will be forgotten, in ms since 1970; 0 while it has not ended. */
  readonly expireMs: number;
  /** An encoded TaskStatus without its revision. */
  readonly bytes: Uint8Array;
}

/** The change number of a task that is SCHEDULED and has no record yet. */
export const scheduledChange = 1;
/** The change number of a task that is QUEUED and has no record yet. */
export const queuedChange = 2;

/** A task that nobody has claimed yet. */
export interface FreshTask {
  readonly key: TaskKey;
  readonly immutable: Uint8Array;
  readonly state: typeof TaskState.SCHEDULED | typeof TaskState.QUEUED;
  readonly priority: Priority;
}

/** A fresh task as its writers and readers see it. Writers need its job too, of which the first record keeps a part. */
export function taskFromFresh({ key, immutable, state, priority }: FreshTask, job?: Job): Task {
  const reason = state === TaskState.SCHEDULED ? Wait_Reason.SCHEDULE : Wait_Reason.WORKER;
  const fixed = fromBinary(TaskStatusSchema, immutable);
  const until = state === TaskState.SCHEDULED ? fixed.scheduleTime : undefined;
  return {
    key,
    revision: 0,
    head: create(RecordHeadSchema, {
      state,
      change: state === TaskState.SCHEDULED ? scheduledChange : queuedChange,
      priority,
      immutableLength: immutable.length,
      ...(job?.retention === undefined ? {} : { retentionMs: BigInt(durationMs(job.retention)) }),
      ...(job === undefined ? {} : { fingerprint: job.fingerprint }),
    }),
    immutable,
    mutable: create(TaskStatusSchema, {
      state,
      wait: until === undefined ? { reason } : { reason, until },
      ...(fixed.createTime === undefined ? {} : { updateTime: fixed.createTime }),
    }),
  };
}

/** A task as its readers see it. */
export function snapshotOfTask(task: Task): StatusSnapshot {
  return {
    key: task.key,
    revision: task.revision,
    state: task.head.state,
    change: task.head.change,
    expireMs: Number(task.head.expireMs),
    bytes: Buffer.concat([task.immutable, toBinary(TaskStatusSchema, task.mutable)]),
  };
}

/** The status as a message, its revision filled in. */
export function decodeStatus(snapshot: StatusSnapshot): TaskStatus {
  const status = fromBinary(TaskStatusSchema, snapshot.bytes);
  status.revision = BigInt(snapshot.revision);
  return status;
}

/** What was fixed at submit, as a message. */
export function decodeImmutable(task: Task): TaskStatus {
  return fromBinary(TaskStatusSchema, task.immutable);
}

/** The id of a task or snapshot. */
export function taskIdOf({ key }: { readonly key: TaskKey }): string {
  return taskIdFromKey(key);
}

/** Whether a task or snapshot has ended. */
export function hasEnded(task: Task | StatusSnapshot): boolean {
  return isTerminal("head" in task ? task.head.state : task.state);
}

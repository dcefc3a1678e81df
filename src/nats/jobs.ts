/**
 * Jobs: the messages that stand for waiting tasks.
 *
 * A fresh task is queued exactly when its job is in the stream, so accepting one is a single write. It names sequence 0 for
 * every subject the task might be on, whatever the kind and priority: a second submission under the same id is refused by
 * the server, however the two race.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { StoredMsg } from "@nats-io/jetstream";
import { headers, type MsgHdrs } from "@nats-io/transport-node";

import { type Job, JobSchema } from "../gen/taskwatch/storage/v1/record_pb.ts";
import { type Priority, TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import type { Submission } from "../task/submission.ts";
import type { TaskKey } from "../task/task-id.ts";
import { type FreshTask, type Task, taskFromFresh } from "../task/task.ts";
import type { Nats } from "./connection.ts";
import { apiCodes, hasApiCode, WriteConflict } from "./errors.ts";
import { anyJobSubject, controlSubject, jobStream, jobSubject, parseJobSubject } from "./names.ts";
import { withPatience } from "./patience.ts";
import type { Publisher, Write } from "./publisher.ts";

const statusHeader = "Tw-Status";
const revisionHeader = "Tw-Revision";

/** A waiting task and its job. */
export interface WaitingTask {
  readonly task: Task;
  readonly job: Job;
}

/** What is needed to send a job again. */
export interface JobMessage {
  readonly key: TaskKey;
  readonly priority: Priority;
  readonly immutable: Uint8Array;
  readonly job: Job;
}

/** Stores, finds and removes jobs. */
export interface Jobs {
  /**
   * Stores the job of a new task and returns its sequence. Throws `WriteConflict` if there is a message for it already, and as
   * `Publisher`.
   */
  submit(submission: Submission): Promise<number>;
  /** Takes a job back that was stored under a sequence, unless it has gone or another has taken its place. */
  withdraw(submission: Submission, sequence: number): Promise<void>;
  /** The fresh task that waits on the stream, as the leader has it; undefined if there is none. */
  findFresh(key: TaskKey, signal?: AbortSignal): Promise<WaitingTask | undefined>;
  /** Has the job delivered at `dueMs`, to be claimed at `revision`. Does nothing if a wait is under way already. */
  delay(message: JobMessage, when: { readonly dueMs: number; readonly revision: number }): Promise<void>;
  /** Keeps the job of a failed task, so that it can be run again. */
  bury(message: JobMessage): Promise<void>;
  /** Takes the jobs of a task that has ended out of the queue. */
  remove(key: TaskKey, priority: Priority): Promise<void>;
  /** Tells the worker of a task to look at its record. May get lost. */
  hint(key: TaskKey): void;
}

/** Jobs over a connection. */
export function createJobs(nats: Nats): Jobs {
  const { connection, manager, publisher, leaderReads } = nats;
  const storeOnce = (write: Write) => storeUntilSettled(publisher, write);

  const lastMessage = async (key: TaskKey, subject: string): Promise<StoredMsg | undefined> => {
    try {
      return await leaderReads.read(jobStream(key.queue), { last_by_subj: subject });
    } catch (error) {
      if (hasApiCode(error, apiCodes.streamNotFound)) return undefined;
      throw error;
    }
  };

  return {
    async submit({ task, job, scheduleMs, repeatable }) {
      const { key, priority, immutable } = task;
      const fields = jobHeaders(immutable, 0);
      const subject = jobSubject(scheduleMs === undefined ? "job" : "delay", key, priority);
      expectNothing(fields, repeatable ? anyJobSubject("*", key) : undefined);
      if (scheduleMs !== undefined) schedule(fields, scheduleMs, jobSubject("job", key, priority));
      return publisher.publish({ subject, data: toBinary(JobSchema, job), headers: fields });
    },

    async withdraw({ task: { key, priority }, scheduleMs }, sequence) {
      const filter = jobSubject(scheduleMs === undefined ? "job" : "delay", key, priority);
      await withPatience(() => manager.streams.purge(jobStream(key.queue), { filter, seq: sequence + 1 }));
    },

    async findFresh(key, signal) {
      for (const kind of ["delay", "job"] as const) {
        // A delayed message becomes a job, never the other way round: in this order none is missed.
        const message = await withPatience(() => lastMessage(key, anyJobSubject(kind, key)), { signal });
        const fresh = message === undefined ? undefined : freshFromMessage(message.subject, message.header);
        if (message === undefined || fresh === undefined) continue;
        const job = fromBinary(JobSchema, message.data);
        return { task: taskFromFresh(fresh, job), job };
      }
      return undefined;
    },

    async delay({ key, priority, immutable, job }, { dueMs, revision }) {
      const fields = jobHeaders(immutable, revision);
      expectNothing(fields, undefined);
      schedule(fields, dueMs, jobSubject("job", key, priority));
      const write = { subject: jobSubject("delay", key, priority), data: toBinary(JobSchema, job), headers: fields };
      await storeOnce(write);
    },

    async bury({ key, priority, immutable, job }) {
      const fields = jobHeaders(immutable, 0);
      const ttlMs = job.retention === undefined ? 0 : durationMs(job.retention);
      expectNothing(fields, undefined);
      fields.set("Nats-TTL", `${Math.max(1, Math.ceil(ttlMs / 1_000))}s`);
      await storeOnce({ subject: jobSubject("dead", key, priority), data: toBinary(JobSchema, job), headers: fields });
    },

    async remove(key, priority) {
      const stream = jobStream(key.queue);
      for (const kind of ["delay", "job"] as const) {
        await withPatience(() => manager.streams.purge(stream, { filter: jobSubject(kind, key, priority) }));
      }
    },

    hint(key) {
      connection.publish(controlSubject(key));
    },
  };
}

/** The fresh task that a message on a job subject stands for; undefined if it is none (a retry, a dead letter, not ours). */
export function freshFromMessage(subject: string, fields: MsgHdrs | undefined): FreshTask | undefined {
  const parsed = parseJobSubject(subject);
  const status = fields?.get(statusHeader);
  if (parsed === undefined || parsed.kind === "dead" || status === undefined || status === "") return undefined;
  if (revisionOf(fields) !== 0) return undefined;
  const state = parsed.kind === "delay" ? TaskState.SCHEDULED : TaskState.QUEUED;
  return { key: parsed.key, priority: parsed.priority, immutable: Buffer.from(status, "base64"), state };
}

/** The revision that the claim of a job replaces: 0 for a fresh task. */
export function revisionOf(fields: MsgHdrs | undefined): number {
  const text = fields?.get(revisionHeader);
  return text === undefined || text === "" ? 0 : Number.parseInt(text, 10);
}

/** The immutable part of the status that a job carries; undefined if it carries none. */
export function immutableOf(fields: MsgHdrs | undefined): Uint8Array | undefined {
  const text = fields?.get(statusHeader);
  return text === undefined || text === "" ? undefined : Buffer.from(text, "base64");
}

/** Stores a message that may be there already. Which of two equal tries stored it does not matter. */
async function storeUntilSettled(publisher: Publisher, write: Write): Promise<void> {
  await withPatience(
    () =>
      publisher.publish(write).catch((error: unknown) => {
        if (!(error instanceof WriteConflict)) throw error;
      }),
    { retryUnknown: true },
  );
}

function jobHeaders(immutable: Uint8Array, revision: number): MsgHdrs {
  const fields = headers();
  fields.set(statusHeader, Buffer.from(immutable).toString("base64"));
  if (revision !== 0) fields.set(revisionHeader, String(revision));
  return fields;
}

function expectNothing(fields: MsgHdrs, onSubject: string | undefined): void {
  fields.set("Nats-Expected-Last-Subject-Sequence", "0");
  if (onSubject !== undefined) fields.set("Nats-Expected-Last-Subject-Sequence-Subject", onSubject);
}

function schedule(fields: MsgHdrs, dueMs: number, target: string): void {
  fields.set("Nats-Schedule", `@at ${new Date(dueMs).toISOString()}`);
  fields.set("Nats-Schedule-Target", target);
}

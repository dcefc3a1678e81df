/**
 * The status bucket: one record a task, written only by compare-and-set, read from the leader.
 *
 * A record's value is its head followed by the encoded status. Readers hand the status slice on as it is.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { StoredMsg } from "@nats-io/jetstream";
import { headers, type MsgHdrs } from "@nats-io/transport-node";

import { type RecordHead, RecordHeadSchema } from "../gen/taskwatch/storage/v1/record_pb.ts";
import { TaskStatusSchema } from "../gen/taskwatch/v1/task_pb.ts";
import type { Draft } from "../task/lifecycle.ts";
import type { TaskKey } from "../task/task-id.ts";
import type { Task } from "../task/task.ts";
import type { Nats } from "./connection.ts";
import { isTransient, OutcomeUnknown, WriteConflict } from "./errors.ts";
import { statusStream, statusSubject } from "./names.ts";
import { patienceMs, withPatience } from "./patience.ts";
import type { Publisher } from "./publisher.ts";

/** Reads and writes records. */
export interface StatusRecords {
  /** The record as the leader has it; undefined if there is none. */
  read(key: TaskKey, signal?: AbortSignal): Promise<Task | undefined>;
  /**
   * Writes a draft over the revision it was made from, and returns the task as written.
   *
   * Throws `WriteConflict` if the record has moved, `OutcomeUnknown` if that could not be found out, and STORE_UNAVAILABLE
   * or STORE_FULL if certainly nothing was written. When an answer is lost, the record is read back and the write token
   * compared before any of these is thrown.
   */
  write(draft: Draft, writeToken: bigint): Promise<Task>;
  /** The revision of the last write to the bucket, by its leader. */
  lastRevision(): Promise<number>;
}

/** A record taken apart: nothing of its status is decoded. */
export interface StoredRecord {
  readonly head: RecordHead;
  readonly status: Uint8Array;
}

/** The status bucket over a connection. */
export function createStatusRecords(nats: Nats): StatusRecords {
  const { manager, publisher, leaderReads } = nats;

  const readNow = async (key: TaskKey): Promise<Task | undefined> => {
    const message = await leaderReads.read(statusStream, { last_by_subj: statusSubject(key) });
    return message === undefined || message.data.length === 0 ? undefined : taskFromRecord(key, message);
  };
  const read = (key: TaskKey, signal?: AbortSignal) => withPatience(() => readNow(key), { signal });

  return {
    read,
    write: (draft, writeToken) => writeUntilSettled({ draft, writeToken, publisher, read }),
    async lastRevision() {
      const info = await withPatience(() => manager.streams.info(statusStream));
      return info.state.last_seq;
    },
  };
}

interface SettledWrite {
  readonly draft: Draft;
  readonly writeToken: bigint;
  readonly publisher: Publisher;
  readonly read: (key: TaskKey) => Promise<Task | undefined>;
}

/** Repeating the write is safe: if an earlier try landed, the next one conflicts with it, and its token tells. */
async function writeUntilSettled({ draft, writeToken, publisher, read }: SettledWrite): Promise<Task> {
  const { key, revision } = draft.from;
  draft.head.writeToken = writeToken;
  const write = { subject: statusSubject(key), data: encodeRecord(draft), headers: writeHeaders(draft) };
  const deadlineMs = performance.now() + patienceMs;
  let unknown: OutcomeUnknown | undefined;
  for (;;) {
    try {
      return taskFromDraft(draft, await publisher.publish(write));
    } catch (error) {
      if (error instanceof OutcomeUnknown) unknown = error;
      else if (!(error instanceof WriteConflict) && !isTransient(error)) throw unknown ?? error;
      // While the leader cannot be asked either, this throws: then nothing is known but what the last try said.
      const found = await read(key).catch(() => {
        throw unknown ?? error;
      });
      if (found?.head.writeToken === writeToken) return found;
      if ((found?.revision ?? 0) !== revision) throw new WriteConflict("record has moved", found);
      if (error instanceof WriteConflict || performance.now() >= deadlineMs) throw unknown ?? error;
    }
  }
}

function writeHeaders({ from, ttlMs }: Draft): MsgHdrs {
  const fields = headers();
  fields.set("Nats-Expected-Last-Subject-Sequence", String(from.revision));
  if (ttlMs !== undefined) fields.set("Nats-TTL", `${Math.ceil(ttlMs / 1_000)}s`);
  return fields;
}

/** Takes a record apart. Throws on bytes that are no record. */
export function decodeRecord(data: Uint8Array): StoredRecord {
  const reader = new BinaryReader(data);
  let head: RecordHead | undefined;
  let status: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1 && wireType === WireType.LengthDelimited) head = fromBinary(RecordHeadSchema, reader.bytes());
    else if (field === 2 && wireType === WireType.LengthDelimited) status = reader.bytes();
    else reader.skip(wireType, field);
  }
  if (head === undefined || status === undefined) throw new Error("stored record has no head or no status");
  for (const ms of [head.expireMs, head.retryMs, head.retentionMs]) {
    if (ms < 0n || ms > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error("stored record has a time that cannot be");
  }
  return { head, status };
}

function encodeRecord(draft: Draft): Uint8Array {
  const mutable = toBinary(TaskStatusSchema, draft.mutable);
  const { immutable } = draft.from;
  const writer = new BinaryWriter();
  writer.uint32((1 << 3) | WireType.LengthDelimited).bytes(toBinary(RecordHeadSchema, draft.head));
  writer.uint32((2 << 3) | WireType.LengthDelimited).uint32(immutable.length + mutable.length);
  return Buffer.concat([writer.finish(), immutable, mutable]);
}

function taskFromRecord(key: TaskKey, message: StoredMsg): Task {
  const { head, status } = decodeRecord(message.data);
  return {
    key,
    revision: message.seq,
    head,
    immutable: status.subarray(0, head.immutableLength),
    mutable: fromBinary(TaskStatusSchema, status.subarray(head.immutableLength)),
  };
}

function taskFromDraft({ from, head, mutable }: Draft, revision: number): Task {
  return { key: from.key, revision, head, immutable: from.immutable, mutable };
}

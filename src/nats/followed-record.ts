import { RecordHeadSchema, TaskRecordSchema } from "../gen/taskwatch/storage/v1/record_pb.ts";
import type { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import type { StatusSnapshot } from "../task/task.ts";
import { FieldCursor } from "./field-cursor.ts";

/** A record as followers need it. */
export interface FollowedRecord extends StatusSnapshot {
  /** How much of `bytes` is the immutable part of the status. */
  readonly immutableLength: number;
  /** When the server stored it, in ms since 1970 by the server's clock. */
  readonly writtenMs: number;
}

/** What a record itself says. */
export type RecordContent = Pick<FollowedRecord, "state" | "change" | "expireMs" | "bytes" | "immutableLength">;

const record = TaskRecordSchema.field;
const head = RecordHeadSchema.field;

/**
 * Reads what followers need of a record, and nothing else. `bytes` is a part of `data`. Throws a RangeError on bytes that are
 * no record.
 */
export function readFollowedRecord(data: Uint8Array): RecordContent {
  const cursor = new FieldCursor(data);
  let fields: Omit<RecordContent, "bytes"> | undefined;
  let bytes: Buffer | undefined;
  while (cursor.next()) {
    if (cursor.number === record.head.number) fields = readHead(cursor.bytes());
    else if (cursor.number === record.status.number) bytes = cursor.bytes();
  }
  if (fields === undefined || bytes === undefined) throw new RangeError("stored record has no head or no status");
  if (fields.immutableLength > bytes.length) throw new RangeError("stored record has no immutable part");
  return { ...fields, bytes };
}

function readHead(bytes: Uint8Array): Omit<RecordContent, "bytes"> {
  const cursor = new FieldCursor(bytes);
  let state = 0;
  let change = 0;
  let expireMs = 0;
  let immutableLength = 0;
  while (cursor.next()) {
    if (cursor.number === head.state.number) state = cursor.value;
    else if (cursor.number === head.change.number) change = cursor.value;
    else if (cursor.number === head.expireMs.number) expireMs = cursor.value;
    else if (cursor.number === head.immutableLength.number) immutableLength = cursor.value;
  }
  if (!Number.isSafeInteger(expireMs)) throw new RangeError("stored record has a time that cannot be");
  return { state: state as TaskState, change, expireMs, immutableLength };
}

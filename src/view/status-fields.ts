/** Reads and writes single fields of an encoded TaskStatus without decoding the rest of it. */
import { TaskState, TaskStatusSchema, Wait_Reason, WaitSchema } from "../gen/taskwatch/v1/task_pb.ts";
import { FieldCursor, lengthDelimited } from "../nats/field-cursor.ts";
import type { FreshTask } from "../task/task.ts";

const { type, state, wait, result, createTime, scheduleTime, updateTime, labels } = TaskStatusSchema.field;
const { reason, until } = WaitSchema.field;

/** What is fixed at submit and what lists pick tasks by. */
export interface FixedFields {
  readonly type: string;
  /** In ms since 1970. */
  readonly createMs: number;
  /** Each as `labelText` writes it. */
  readonly labels: readonly string[];
  /** Encoded timestamps. */
  readonly createTime: Buffer | undefined;
  readonly scheduleTime: Buffer | undefined;
}

/** A label as one text; keys hold no "=". */
export function labelText(key: string, value: string): string {
  return `${key}=${value}`;
}

/** Reads what lists pick tasks by from the immutable part of a status. Throws a RangeError on bytes that are no message. */
export function readFixedFields(immutable: Uint8Array): FixedFields {
  const cursor = new FieldCursor(immutable);
  const found: { -readonly [Name in keyof FixedFields]: FixedFields[Name] } = {
    type: "",
    createMs: 0,
    labels: [],
    createTime: undefined,
    scheduleTime: undefined,
  };
  const texts: string[] = [];
  while (cursor.next()) {
    if (cursor.number === type.number) found.type = cursor.text();
    else if (cursor.number === createTime.number) found.createTime = cursor.bytes();
    else if (cursor.number === scheduleTime.number) found.scheduleTime = cursor.bytes();
    else if (cursor.number === labels.number) texts.push(readLabel(cursor.bytes()));
  }
  found.labels = texts;
  if (found.createTime !== undefined) found.createMs = msFromTimestamp(found.createTime);
  return found;
}

function readLabel(entry: Uint8Array): string {
  const cursor = new FieldCursor(entry);
  let key = "";
  let value = "";
  while (cursor.next()) {
    if (cursor.number === 1) key = cursor.text();
    else if (cursor.number === 2) value = cursor.text();
  }
  return labelText(key, value);
}

function msFromTimestamp(timestamp: Uint8Array): number {
  const cursor = new FieldCursor(timestamp);
  let ms = 0;
  while (cursor.next()) {
    if (cursor.number === 1) ms += cursor.value * 1_000;
    else if (cursor.number === 2) ms += Math.floor(cursor.value / 1e6);
  }
  return ms;
}

/** The whole status of a fresh task, encoded: its immutable part, and what follows from where it waits. */
export function encodeFreshStatus(task: FreshTask, fixed: FixedFields): Uint8Array {
  const scheduled = task.state === TaskState.SCHEDULED;
  const waitUntil = scheduled ? fixed.scheduleTime : undefined;
  const waitLength = 2 + (waitUntil === undefined ? 0 : 2 + waitUntil.length);
  const updateLength = fixed.createTime === undefined ? 0 : 3 + fixed.createTime.length;
  const { immutable } = task;
  const bytes = Buffer.allocUnsafe(immutable.length + 2 + 2 + waitLength + updateLength);
  bytes.set(immutable);
  // Every tag but one, and every length, is below 128 and so a single byte.
  let at = immutable.length;
  at = put(bytes, at, [state.number << 3, task.state, (wait.number << 3) | lengthDelimited, waitLength]);
  at = put(bytes, at, [reason.number << 3, scheduled ? Wait_Reason.SCHEDULE : Wait_Reason.WORKER]);
  if (waitUntil !== undefined) {
    at = put(bytes, at, [(until.number << 3) | lengthDelimited, waitUntil.length]);
    at = put(bytes, at, waitUntil);
  }
  if (fixed.createTime !== undefined) {
    const tag = (updateTime.number << 3) | lengthDelimited;
    at = put(bytes, at, [(tag & 127) | 128, tag >> 7, fixed.createTime.length]);
    put(bytes, at, fixed.createTime);
  }
  return bytes;
}

function put(bytes: Buffer, at: number, values: ArrayLike<number>): number {
  bytes.set(values, at);
  return at + values.length;
}

/** The status without its result; as it is, if it is no message. */
export function withoutResult(status: Uint8Array): Uint8Array {
  const kept: Uint8Array[] = [];
  let keptTo = 0;
  try {
    const cursor = new FieldCursor(status);
    for (let start = 0; cursor.next(); start = cursor.end) {
      if (cursor.number !== result.number) continue;
      kept.push(status.subarray(keptTo, start));
      keptTo = cursor.end;
    }
  } catch (error) {
    if (error instanceof RangeError) return status;
    throw error;
  }
  return kept.length === 0 ? status : Buffer.concat([...kept, status.subarray(keptTo)]);
}

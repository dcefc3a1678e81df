import { createHash } from "node:crypto";

import { fromBinary } from "@bufbuild/protobuf";

import { type ResumeToken, ResumeTokenSchema } from "../gen/taskwatch/storage/v1/record_pb.ts";
import { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import { TaskError } from "../task/errors.ts";
import { hasEnded, type StatusSnapshot, taskIdOf } from "../task/task.ts";
import { PositionSet } from "./position-set.ts";

/** Where a watch stands. What its fields mean is written at those of the stored `ResumeToken`. */
export interface ResumePoint {
  readonly revision: number;
  readonly change: number;
  readonly behind: PositionSet;
  readonly scheduled: PositionSet;
  readonly ended: PositionSet;
}

/** What a watch watches, as its tokens know it. */
export interface ResumeScope {
  /** Names the store. */
  readonly epoch: bigint;
  /** Stands for the namespace and the ids. */
  readonly hash: bigint;
}

const { field } = ResumeTokenSchema;

/** The scope of a watch over tasks of one namespace, whose ids are sorted. */
export function resumeScope(epoch: bigint, namespace: string, sortedIds: readonly string[]): ResumeScope {
  const hash = createHash("sha256")
    .update(JSON.stringify([namespace, sortedIds]))
    .digest()
    .readBigUInt64LE(0);
  return { epoch, hash };
}

/** The token for one who has seen this status of a task, and nothing else: SubmitTask gives it out. */
export function resumeTokenForSubmitted(epoch: bigint, status: StatusSnapshot): string {
  const scope = resumeScope(epoch, status.key.namespace, [taskIdOf(status)]);
  const only = new PositionSet();
  only.add(0);
  const none = new PositionSet();
  return createTokenWriter(scope)({
    revision: status.revision,
    change: status.change,
    behind: none,
    scheduled: status.state === TaskState.SCHEDULED ? only : none,
    ended: hasEnded(status) ? only : none,
  });
}

/** Where a token is written. Larger than any: the sets of 1,000 tasks take 125 bytes each. */
const scratch = Buffer.alloc(1_024);

/** Writes the tokens of one watch. By hand, because there is one with every message. */
export function createTokenWriter({ epoch, hash }: ResumeScope): (point: ResumePoint) => string {
  const prefix = Buffer.alloc(18);
  prefix[0] = (field.epoch.number << 3) | 1;
  prefix.writeBigUInt64LE(epoch, 1);
  prefix[9] = (field.scope.number << 3) | 1;
  prefix.writeBigUInt64LE(hash, 10);
  return ({ revision, change, behind, scheduled, ended }) => {
    let at = prefix.copy(scratch);
    at = putNumber(at, field.revision.number, revision);
    at = putNumber(at, field.change.number, change);
    at = putPositions(at, field.behind.number, behind);
    at = putPositions(at, field.scheduled.number, scheduled);
    at = putPositions(at, field.ended.number, ended);
    return scratch.toString("base64url", 0, at);
  };
}

/**
 * Reads the token of a watch of `length` tasks.
 *
 * Throws RESUME_TOKEN_INVALID for one that is garbage or belongs to another watch, and STORE_REPLACED for one of another
 * store.
 */
export function readResumeToken(token: string, scope: ResumeScope, length: number): ResumePoint {
  const { epoch, scope: hash, revision, change, behind, scheduled, ended } = decode(token);
  if (hash !== scope.hash || ![behind, scheduled, ended].every((set) => isWithin(set, length))) throw invalidToken();
  if (epoch !== scope.epoch) throw storeReplaced();
  return {
    revision: Number(revision),
    change: length === 1 ? change : 0,
    behind: new PositionSet(behind),
    scheduled: new PositionSet(scheduled),
    ended: new PositionSet(ended),
  };
}

/** The error for a token that stands for nothing any more. */
export function storeReplaced(): TaskError {
  return new TaskError("STORE_REPLACED", "the store was replaced, or went back, since the token was given out");
}

/** Whether a bitmap has no position from `length` on. */
function isWithin(bitmap: Uint8Array, length: number): boolean {
  const bytes = Math.ceil(length / 8);
  return (
    bitmap.length < bytes || (bitmap.length === bytes && (bitmap[bytes - 1] ?? 0) >>> (((length - 1) & 7) + 1) === 0)
  );
}

function decode(token: string): ResumeToken {
  try {
    return fromBinary(ResumeTokenSchema, Buffer.from(token, "base64url"));
  } catch (cause) {
    throw invalidToken(cause);
  }
}

function invalidToken(cause?: unknown): TaskError {
  const description = "must be a token of a watch of the same tasks";
  return new TaskError("RESUME_TOKEN_INVALID", `resume_token: ${description}`, {
    fields: [{ field: "resume_token", description, rule: "RESUME_TOKEN_INVALID" }],
    cause,
  });
}

function putNumber(at: number, number: number, value: number): number {
  return value === 0 ? at : putVarint(putVarint(at, number << 3), value);
}

function putPositions(at: number, number: number, positions: PositionSet): number {
  if (positions.size === 0) return at;
  const { bytes } = positions;
  const start = putVarint(putVarint(at, (number << 3) | 2), bytes.length);
  scratch.set(bytes, start);
  return start + bytes.length;
}

function putVarint(at: number, value: number): number {
  let rest = value;
  let index = at;
  while (rest >= 128) {
    scratch[index] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
    index += 1;
  }
  scratch[index] = rest;
  return index + 1;
}

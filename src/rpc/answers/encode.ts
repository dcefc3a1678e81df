/**
 * Encodes responses around the bytes that a status is stored as, so that a status is never decoded or encoded again on
 * its way to a caller.
 */
import { toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import {
  BookmarkEventSchema,
  GoingAwayEventSchema,
  ItemErrorSchema,
  RemovedEventSchema,
} from "../../gen/taskwatch/v1/task_service_pb.ts";
import type { Submitted, TaskPage, WatchEvent } from "../../operations/operations.ts";
import { TaskError } from "../../task/errors.ts";
import { hasEnded, type StatusSnapshot } from "../../task/task.ts";
import { maxMessageBytes } from "../limits.ts";
import { itemErrorFrom } from "./errors.ts";
import {
  createFrame,
  fieldSize,
  flagSize,
  type Frame,
  numberSize,
  putBytes,
  putFlag,
  putHeader,
  putNumber,
  putRaw,
  putText,
  textFieldSize,
} from "./frame.ts";

/** GetStatusResponse and CancelTaskResponse: the status is field 1 of each, and there is no other. */
export function encodeStatusResponse(snapshot: StatusSnapshot): Buffer {
  const frame = createFrame(fieldSize(1, statusSize(snapshot)));
  putStatus(frame, 1, snapshot);
  return frame.bytes;
}

/** WaitTaskResponse. */
export function encodeWaitTaskResponse(snapshot: StatusSnapshot): Buffer {
  const done = hasEnded(snapshot);
  const frame = createFrame(fieldSize(1, statusSize(snapshot)) + flagSize(2, done));
  putStatus(frame, 1, snapshot);
  putFlag(frame, 2, done);
  return frame.bytes;
}

/** SubmitTaskResponse. */
export function encodeSubmitTaskResponse(submitted: Submitted): Buffer {
  const frame = createFrame(submittedSize(submitted));
  putSubmitted(frame, submitted);
  return frame.bytes;
}

/** SubmitTasksResponse. */
export function encodeSubmitTasksResponse(results: readonly (Submitted | TaskError)[]): Buffer {
  const parts = results.map((result) => {
    if (result instanceof TaskError) return errorPart(2, result);
    const size = submittedSize(result);
    return nestedPart(1, size, (frame) => putSubmitted(frame, result));
  });
  return encodeParts(parts);
}

/**
 * BatchGetStatusResponse. Statuses that would make the message too large are answered by RESPONSE_TOO_LARGE, one by one, so
 * that the rest arrives.
 */
export function encodeBatchGetStatusResponse(results: readonly (StatusSnapshot | TaskError)[]): Buffer {
  const tooLarge = errorPart(2, new TaskError("RESPONSE_TOO_LARGE", "the answer was full: ask for this one again"));
  // Every status that is still to come might have to be replaced.
  let room = maxMessageBytes - results.length * fieldSize(1, tooLarge.size);
  const parts = results.map((result) => {
    const part = result instanceof TaskError ? errorPart(2, result) : statusPart(1, result);
    const extra = fieldSize(1, part.size) - fieldSize(1, tooLarge.size);
    if (extra > room) return tooLarge;
    room -= extra;
    return part;
  });
  return encodeParts(parts);
}

/** ListTasksResponse. */
export function encodeListTasksResponse({ statuses, nextPageToken, revision }: TaskPage): Buffer {
  const size =
    statuses.reduce((sum, status) => sum + fieldSize(1, statusSize(status)), 0) +
    textFieldSize(2, nextPageToken) +
    numberSize(3, revision);
  const frame = createFrame(size);
  for (const status of statuses) putStatus(frame, 1, status);
  putText(frame, 2, nextPageToken);
  putNumber(frame, 3, revision);
  return frame.bytes;
}

/** WatchStatusResponse. */
export function encodeWatchEvent(event: WatchEvent): Buffer {
  if (event.kind === "status") return encodeStatusEvent(event);
  const [field, bytes] = encodeOtherEvent(event);
  const frame = createFrame(textFieldSize(1, event.resumeToken) + fieldSize(field, bytes.length));
  putText(frame, 1, event.resumeToken);
  putBytes(frame, field, bytes);
  return frame.bytes;
}

function encodeStatusEvent(event: WatchEvent & { readonly kind: "status" }): Buffer {
  const { status, snapshot, merged, resumeToken } = event;
  const eventSize = fieldSize(1, statusSize(status)) + flagSize(2, snapshot) + numberSize(3, merged);
  const frame = createFrame(textFieldSize(1, resumeToken) + fieldSize(2, eventSize));
  putText(frame, 1, resumeToken);
  putHeader(frame, 2, eventSize);
  putStatus(frame, 1, status);
  putFlag(frame, 2, snapshot);
  putNumber(frame, 3, merged);
  return frame.bytes;
}

function encodeOtherEvent(event: Exclude<WatchEvent, { readonly kind: "status" }>): [field: number, bytes: Uint8Array] {
  switch (event.kind) {
    case "bookmark":
      return [
        3,
        toBinary(BookmarkEventSchema, { $typeName: "taskwatch.v1.BookmarkEvent", revision: BigInt(event.revision) }),
      ];
    case "removed": {
      const { taskId, reason } = event;
      return [4, toBinary(RemovedEventSchema, { $typeName: "taskwatch.v1.RemovedEvent", taskId, reason })];
    }
    case "going_away": {
      const resumeDelay = durationFromMs(event.resumeDelayMs);
      const message = { $typeName: "taskwatch.v1.GoingAwayEvent", reason: event.reason, resumeDelay } as const;
      return [5, toBinary(GoingAwayEventSchema, message)];
    }
  }
}

/** A message in field 1 of a response that repeats it, of which one field is set. */
interface Part {
  readonly size: number;
  put(frame: Frame): void;
}

function encodeParts(parts: readonly Part[]): Buffer {
  const frame = createFrame(parts.reduce((sum, { size }) => sum + fieldSize(1, size), 0));
  for (const part of parts) {
    putHeader(frame, 1, part.size);
    part.put(frame);
  }
  return frame.bytes;
}

function nestedPart(field: number, size: number, put: (frame: Frame) => void): Part {
  return {
    size: fieldSize(field, size),
    put(frame) {
      putHeader(frame, field, size);
      put(frame);
    },
  };
}

function statusPart(field: number, snapshot: StatusSnapshot): Part {
  return { size: fieldSize(field, statusSize(snapshot)), put: (frame) => putStatus(frame, field, snapshot) };
}

function errorPart(field: number, error: TaskError): Part {
  const bytes = toBinary(ItemErrorSchema, itemErrorFrom(error));
  return { size: fieldSize(field, bytes.length), put: (frame) => putBytes(frame, field, bytes) };
}

function submittedSize({ status, resumeToken, duplicate }: Submitted): number {
  return fieldSize(1, statusSize(status)) + textFieldSize(2, resumeToken) + flagSize(3, duplicate);
}

function putSubmitted(frame: Frame, { status, resumeToken, duplicate }: Submitted): void {
  putStatus(frame, 1, status);
  putText(frame, 2, resumeToken);
  putFlag(frame, 3, duplicate);
}

/** `TaskStatus.revision`, which the stored bytes leave out. */
const revisionField = 27;

function statusSize({ bytes, revision }: StatusSnapshot): number {
  return bytes.length + numberSize(revisionField, revision);
}

function putStatus(frame: Frame, field: number, snapshot: StatusSnapshot): void {
  putHeader(frame, field, statusSize(snapshot));
  putRaw(frame, snapshot.bytes);
  putNumber(frame, revisionField, snapshot.revision);
}

import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";

import { TaskStatusSchema } from "../../gen/taskwatch/v1/task_pb.ts";
import {
  ItemErrorSchema,
  SubmitTaskResponseSchema,
  SubmitTasksResponseSchema,
  SubmitTasksResultSchema,
} from "../../gen/taskwatch/v1/task_service_pb.ts";
import { errorFromItem } from "../grpc/error-details.ts";
import { statusFromMessage } from "../status/status-from-message.ts";
import type { TaskStatus } from "../status/task-status.ts";
import type { TaskwatchError } from "../taskwatch-error.ts";
import type { SubmittedTask } from "./submission.ts";

const batch = SubmitTasksResponseSchema.field;
const item = SubmitTasksResultSchema.field;
const answer = SubmitTaskResponseSchema.field;
const taskIdNumber = TaskStatusSchema.field.taskId.number;

/** Reads an encoded SubmitTaskResponse. */
export function readAnswer(bytes: Uint8Array): SubmittedTask {
  return readAccepted(new BinaryReader(bytes), bytes, bytes.length);
}

/** Reads an encoded SubmitTasksResponse: one result for each task, in order. */
export function readAnswers(bytes: Uint8Array): (SubmittedTask | TaskwatchError)[] {
  const reader = new BinaryReader(bytes);
  const results: (SubmittedTask | TaskwatchError)[] = [];
  while (reader.pos < bytes.length) {
    const [number, wireType] = reader.tag();
    if (number !== batch.results.number) {
      reader.skip(wireType, number);
      continue;
    }
    const end = endOfNext(reader);
    const result = readResult(reader, bytes, end);
    if (result !== undefined) results.push(result);
    reader.pos = end;
  }
  return results;
}

/** Most callers never look at the status that a task was accepted with, so it is decoded for those who do. */
class AcceptedTask implements SubmittedTask {
  readonly taskId: string;
  readonly resumeToken: string;
  readonly duplicate: boolean;
  #bytes: Uint8Array;
  #status: TaskStatus | undefined;

  constructor(bytes: Uint8Array, taskId: string, { resumeToken = "", duplicate = false }) {
    this.taskId = taskId;
    this.resumeToken = resumeToken;
    this.duplicate = duplicate;
    this.#bytes = bytes;
  }

  get status(): TaskStatus {
    if (this.#status === undefined) {
      this.#status = statusFromMessage(fromBinary(TaskStatusSchema, this.#bytes));
      this.#bytes = noBytes;
    }
    return this.#status;
  }
}

const noBytes = new Uint8Array(0);

function readResult(reader: BinaryReader, bytes: Uint8Array, end: number): SubmittedTask | TaskwatchError | undefined {
  let result: SubmittedTask | TaskwatchError | undefined;
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    if (number === item.accepted.number) result = readAccepted(reader, bytes, endOfNext(reader));
    else if (number === item.error.number) result = errorFromItem(fromBinary(ItemErrorSchema, reader.bytes()));
    else reader.skip(wireType, number);
  }
  return result;
}

function readAccepted(reader: BinaryReader, bytes: Uint8Array, end: number): SubmittedTask {
  let status: Uint8Array = noBytes;
  let taskId = "";
  const rest = { resumeToken: "", duplicate: false };
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    if (number === answer.status.number) {
      const statusEnd = endOfNext(reader);
      const part = bytes.subarray(reader.pos, statusEnd);
      // A message may come in parts, which are read as one after the other.
      status = status.length === 0 ? part : Buffer.concat([status, part]);
      taskId = readTaskId(reader, statusEnd) ?? taskId;
      reader.pos = statusEnd;
    } else if (number === answer.resumeToken.number) {
      rest.resumeToken = reader.string();
    } else if (number === answer.duplicate.number) {
      rest.duplicate = reader.bool();
    } else {
      reader.skip(wireType, number);
    }
  }
  return new AcceptedTask(status, taskId, rest);
}

/** The id comes first, so no more than that is read as a rule. */
function readTaskId(reader: BinaryReader, end: number): string | undefined {
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    if (number === taskIdNumber) return reader.string();
    reader.skip(wireType, number);
  }
  return undefined;
}

function endOfNext(reader: BinaryReader): number {
  const length = reader.uint32();
  return reader.pos + length;
}

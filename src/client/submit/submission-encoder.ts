import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type Duration, durationFromMs, type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";

import {
  Priority as PriorityNumber,
  type RetryPolicy,
  RetryPolicy_Jitter,
  RetryPolicySchema,
} from "../../gen/taskwatch/v1/task_pb.ts";
import { type SubmitTaskRequest, SubmitTaskRequestSchema } from "../../gen/taskwatch/v1/task_service_pb.ts";
import { invalidArgument, TaskwatchError } from "../taskwatch-error.ts";
import { writeContent } from "./content.ts";
import type { RetryOptions, Submission } from "./submission.ts";
import { tag } from "./write-json.ts";

const { LengthDelimited } = WireType;
const fields = SubmitTaskRequestSchema.field;
const queueTag = tag(fields.queue, LengthDelimited);
const typeTag = tag(fields.type, LengthDelimited);
const payloadTag = tag(fields.payload, LengthDelimited);
const requestIdTag = tag(fields.requestId, LengthDelimited);

/** After a larger task the memory is given back. */
const keptBytes = 64 * 1024;

/**
 * Encodes submissions one after the other, in memory that it keeps for that: with messages of their own, and memory of its
 * own for each, a submission would take four times as long.
 */
export class SubmissionEncoder {
  #writer = new BinaryWriter();

  /**
   * An encoded SubmitTaskRequest; of the submission itself nothing is kept. Throws INVALID_ARGUMENT for what cannot even be
   * written down.
   */
  encode(submission: Submission, requestId: string): Uint8Array {
    try {
      writeSubmission(this.#writer, submission, requestId);
      const bytes = this.#writer.finish();
      if (bytes.length > keptBytes) this.#writer = new BinaryWriter();
      return bytes;
    } catch (error) {
      // What was written so far is of no use.
      this.#writer = new BinaryWriter();
      throw error instanceof TaskwatchError ? error : notEncodable(error);
    }
  }
}

function writeSubmission(writer: BinaryWriter, submission: Submission, requestId: string): void {
  const { queue, type, payload, contentType } = submission;
  writer.uint32(queueTag).string(queue).uint32(typeTag).string(type).uint32(requestIdTag).string(requestId);
  if (payload !== undefined || contentType !== undefined) {
    writer.uint32(payloadTag).fork();
    writeContent(writer, { value: payload, contentType, field: "payload" });
    writer.join();
  }
  // A message may be written in pieces; the rest is rare, and left to the library.
  const rest = restOf(submission);
  if (rest !== undefined) writer.raw(toBinary(SubmitTaskRequestSchema, rest));
}

/** What is not written by hand; undefined if there is nothing. */
function restOf(submission: Submission): SubmitTaskRequest | undefined {
  const { priority, labels, deadline, timeoutMs, retry, retentionMs } = submission;
  const start = startOf(submission);
  const given = [priority, labels, deadline, timeoutMs, retry, retentionMs, start.case];
  if (given.every((value) => value === undefined)) return undefined;
  const rest = create(SubmitTaskRequestSchema, { labels: { ...labels } });
  rest.start = start;
  if (priority !== undefined) rest.priority = PriorityNumber[priority];
  if (deadline !== undefined) rest.deadline = timestampOf(deadline, "deadline");
  if (timeoutMs !== undefined) rest.timeout = durationOf(timeoutMs, "timeout");
  if (retentionMs !== undefined) rest.retention = durationOf(retentionMs, "retention");
  if (retry !== undefined) rest.retryPolicy = retryPolicyOf(retry);
  return rest;
}

function startOf({ delayMs, scheduleAt }: Submission): SubmitTaskRequest["start"] {
  if (delayMs !== undefined && scheduleAt !== undefined) {
    throw invalidArgument("delay", "must not be given together with scheduleAt", "START_TWICE");
  }
  if (delayMs !== undefined) return { case: "delay", value: durationOf(delayMs, "delay") };
  if (scheduleAt !== undefined) return { case: "scheduleTime", value: timestampOf(scheduleAt, "schedule_time") };
  return { case: undefined };
}

function retryPolicyOf(retry: RetryOptions): RetryPolicy {
  const { maxAttempts, initialBackoffMs, maximumBackoffMs, multiplier, jitter, nonRetryableCodes } = retry;
  const policy = create(RetryPolicySchema, { nonRetryableCodes: [...(nonRetryableCodes ?? [])] });
  if (maxAttempts !== undefined) policy.maxAttempts = wholeNumber(maxAttempts, "retry_policy.max_attempts");
  if (multiplier !== undefined) policy.multiplier = notZero(multiplier, "retry_policy.multiplier");
  if (jitter !== undefined) policy.jitter = RetryPolicy_Jitter[jitter];
  if (initialBackoffMs !== undefined) {
    policy.initialBackoff = durationOf(initialBackoffMs, "retry_policy.initial_backoff");
  }
  if (maximumBackoffMs !== undefined) {
    policy.maximumBackoff = durationOf(maximumBackoffMs, "retry_policy.maximum_backoff");
  }
  return policy;
}

/** On the wire zero means the default, which is not what a caller who wrote zero expects. */
function notZero(value: number, field: string): number {
  if (value === 0) throw invalidArgument(field, "must be at least 1, got 0", "NOT_ZERO");
  return value;
}

/** One that the wire can carry; the service knows the narrower bounds. */
function wholeNumber(value: number, field: string): number {
  if (Number.isInteger(value) && value > 0 && value < 2 ** 32) return value;
  throw invalidArgument(field, `must be a whole number from 1, got ${value}`, "NOT_WHOLE");
}

function durationOf(ms: number, field: string): Duration {
  if (!Number.isFinite(ms) || Math.abs(ms) > Number.MAX_SAFE_INTEGER) {
    throw invalidArgument(field, `must be a finite number of milliseconds, got ${ms}`, "DURATION_INVALID");
  }
  return durationFromMs(Math.round(ms));
}

function timestampOf(date: Date, field: string): Timestamp {
  if (Number.isNaN(date.getTime())) throw invalidArgument(field, "must be a valid date", "TIME_INVALID");
  return timestampFromDate(date);
}

/** Something of another type than declared, from a caller without type checks. */
function notEncodable(error: unknown): TaskwatchError {
  const message = error instanceof Error ? error.message : String(error);
  return new TaskwatchError("INVALID_ARGUMENT", message, { reason: "REQUEST_INVALID", cause: error });
}

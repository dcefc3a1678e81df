import { randomUUID } from "node:crypto";

import { create } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";

import {
  Priority as PriorityNumber,
  type RetryPolicy,
  RetryPolicy_Jitter,
  RetryPolicySchema,
} from "../gen/taskwatch/v1/task_pb.ts";
import { type SubmitTaskRequest, SubmitTaskRequestSchema } from "../gen/taskwatch/v1/task_service_pb.ts";
import { contentFromValue } from "./content.ts";
import type { Priority, TaskStatus } from "./task-status.ts";
import { invalidArgument } from "./taskwatch-error.ts";

/** How often and how patiently a failed attempt is repeated. What is left out is the queue's default. */
export interface RetryOptions {
  /** How many times the task may be started in all, the first time included. 1 to 100; usual default 3. */
  readonly maxAttempts?: number | undefined;
  /** The backoff after the first failed attempt; usual default 1 s. */
  readonly initialBackoffMs?: number | undefined;
  /** The longest backoff; usual default 5 min. */
  readonly maximumBackoffMs?: number | undefined;
  /** The growth of the backoff from attempt to attempt, 1 to 10; usual default 2. */
  readonly multiplier?: number | undefined;
  /** FULL (the default): evenly between zero and the computed backoff. NONE: exactly that. */
  readonly jitter?: "FULL" | "NONE" | undefined;
  /** Error codes that end the task at once, whatever attempts are left. */
  readonly nonRetryableCodes?: readonly string[] | undefined;
}

/** What to run, where and how. */
export interface Submission {
  /** Where the task waits: letters, digits, `_` and `-`, 1 to 64. */
  readonly queue: string;
  /** What picks the handler. */
  readonly type: string;
  /**
   * What the handler gets: a `Uint8Array`, untouched, or anything that JSON can say, read as `JSON.stringify` reads it. At
   * most 512 KiB encoded.
   */
  readonly payload?: unknown;
  /** The media type of a payload that is bytes. */
  readonly contentType?: string | undefined;
  /**
   * Unique for each intended task in a queue: submitting the same again with the same id gives the same task. Default a
   * new UUID, which makes the repeats of this client safe, but not those of its caller.
   */
  readonly requestId?: string | undefined;
  /** Default NORMAL. */
  readonly priority?: Priority | undefined;
  /** For finding tasks again. At most 16. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Not before this long from now. Not together with `scheduleAt`. */
  readonly delayMs?: number | undefined;
  /** Not before this time; one that has passed means at once. */
  readonly scheduleAt?: Date | undefined;
  /** The point in time after which the task is given up and becomes EXPIRED. */
  readonly deadline?: Date | undefined;
  /** How long one attempt may run; the queue's default is usually 1 h. */
  readonly timeoutMs?: number | undefined;
  /** How failed attempts are repeated. */
  readonly retry?: RetryOptions | undefined;
  /** How long the status is kept after the task has ended; the queue's default is usually 24 h. */
  readonly retentionMs?: number | undefined;
}

/** An accepted task: it is stored and will end. */
export interface SubmittedTask {
  readonly taskId: string;
  /** As accepted, or, for a repeat, as it is now. */
  readonly status: TaskStatus;
  /** Give it to `watch` to see everything that happens after this answer. */
  readonly resumeToken: string;
  /** Whether the `requestId` named a task that was there already. */
  readonly duplicate: boolean;
}

/** The request, given a `requestId` if it has none. Throws INVALID_ARGUMENT for what can not even be written down. */
export function requestFromSubmission(submission: Submission): SubmitTaskRequest {
  const { queue, type, payload, contentType, requestId, priority, labels, deadline, timeoutMs, retry, retentionMs } =
    submission;
  const request = create(SubmitTaskRequestSchema, { queue, type, requestId: requestId ?? randomUUID() });
  if (payload !== undefined || contentType !== undefined) {
    request.payload = contentFromValue(payload, contentType, "payload");
  }
  if (priority !== undefined) request.priority = PriorityNumber[priority];
  if (labels !== undefined) request.labels = { ...labels };
  request.start = startOf(submission);
  if (deadline !== undefined) request.deadline = timestampOf(deadline, "deadline");
  if (timeoutMs !== undefined) request.timeout = durationOf(timeoutMs, "timeout");
  if (retentionMs !== undefined) request.retention = durationOf(retentionMs, "retention");
  if (retry !== undefined) request.retryPolicy = retryPolicyOf(retry);
  return request;
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

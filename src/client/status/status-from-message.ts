import { durationMs, timestampMs, type Duration, type Timestamp } from "@bufbuild/protobuf/wkt";

import {
  type Attempt as AttemptMessage,
  Attempt_Outcome as OutcomeNumber,
  type AttemptError as AttemptErrorMessage,
  type Cancellation as CancellationMessage,
  Priority as PriorityNumber,
  type Progress as ProgressMessage,
  TaskState as StateNumber,
  type TaskStatus as TaskStatusMessage,
  type TimeLedger as TimeLedgerMessage,
  type Wait as WaitMessage,
  Wait_Reason as WaitReasonNumber,
} from "../../gen/taskwatch/v1/task_pb.ts";
import { valueFromContent } from "../submit/content.ts";
import type {
  Attempt,
  AttemptError,
  AttemptOutcome,
  Cancellation,
  Priority,
  Progress,
  TaskState,
  TaskStatus,
  TimeLedger,
  Wait,
  WaitReason,
} from "./task-status.ts";

// With the types written out, a name that the schema knows and the type does not fails to compile.
const states: readonly TaskState[] = namesOf(StateNumber);
const outcomes: readonly AttemptOutcome[] = namesOf(OutcomeNumber);
const waitReasons: readonly WaitReason[] = namesOf(WaitReasonNumber);
const priorities: readonly Priority[] = namesOf({ ...PriorityNumber, UNSPECIFIED: undefined });

/** A status as users see it. */
export function statusFromMessage(message: TaskStatusMessage): TaskStatus {
  return {
    taskId: message.taskId,
    queue: message.queue,
    type: message.type,
    state: states[message.state] ?? "UNSPECIFIED",
    priority: priorities[message.priority] ?? "NORMAL",
    attempt: message.attempt,
    maxAttempts: message.maxAttempts,
    progress: message.progress && progressFromMessage(message.progress),
    result: valueFromContent(message.result),
    resultContentType: textOrNone(message.result?.contentType),
    error: message.error && attemptErrorFromMessage(message.error),
    wait: message.wait && waitFromMessage(message.wait),
    cancellation: message.cancellation && cancellationFromMessage(message.cancellation),
    attempts: message.attempts.map(attemptFromMessage),
    createdAt: dateFrom(message.createTime),
    scheduledAt: dateFrom(message.scheduleTime),
    startedAt: dateFrom(message.startTime),
    updatedAt: dateFrom(message.updateTime),
    endedAt: dateFrom(message.endTime),
    expiresAt: dateFrom(message.expireTime),
    leaseExpiresAt: dateFrom(message.leaseExpireTime),
    deadline: dateFrom(message.deadline),
    timeLedger: message.timeLedger && timeLedgerFromMessage(message.timeLedger),
    labels: message.labels,
    retryOf: textOrNone(message.retryOf),
    worker: textOrNone(message.worker),
    traceparent: textOrNone(message.traceparent),
    revision: Number(message.revision),
  };
}

function progressFromMessage({ done, total, unit, message, fraction }: ProgressMessage): Progress {
  return { done, total: total === 0 ? undefined : total, unit, message, fraction };
}

function attemptErrorFromMessage({ code, message, retryable, details }: AttemptErrorMessage): AttemptError {
  return { code, message, retryable, details };
}

function attemptFromMessage(message: AttemptMessage): Attempt {
  const { number, worker, startTime, endTime, outcome, error } = message;
  return {
    number,
    worker,
    startedAt: dateFrom(startTime),
    endedAt: dateFrom(endTime),
    outcome: outcome === OutcomeNumber.UNSPECIFIED ? undefined : (outcomes[outcome] ?? "UNSPECIFIED"),
    error: error && attemptErrorFromMessage(error),
  };
}

function waitFromMessage({ reason, until }: WaitMessage): Wait {
  return { reason: waitReasons[reason] ?? "UNSPECIFIED", until: dateFrom(until) };
}

function cancellationFromMessage({ requestedBy, reason, requestTime, grace }: CancellationMessage): Cancellation {
  return { requestedBy, reason, requestedAt: dateFrom(requestTime), graceMs: grace && durationMs(grace) };
}

function timeLedgerFromMessage({ queued, running, backoff }: TimeLedgerMessage): TimeLedger {
  return { queuedMs: msOrZero(queued), runningMs: msOrZero(running), backoffMs: msOrZero(backoff) };
}

function msOrZero(duration: Duration | undefined): number {
  return duration === undefined ? 0 : durationMs(duration);
}

function dateFrom(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : new Date(timestampMs(timestamp));
}

function textOrNone(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

/** The names of an enumeration by number. */
function namesOf<Numbers extends Readonly<Record<string, number | undefined>>>(numbers: Numbers) {
  type Name = { [Key in keyof Numbers]: Numbers[Key] extends number ? Key : never }[keyof Numbers];
  const names: Name[] = [];
  for (const [name, number] of Object.entries(numbers)) if (number !== undefined) names[number] = name as Name;
  return names;
}

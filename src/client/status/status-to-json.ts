import { create, type JsonObject, toJson } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";

import {
  Attempt_Outcome as OutcomeNumber,
  Priority as PriorityNumber,
  TaskState as StateNumber,
  type TaskStatus as TaskStatusMessage,
  TaskStatusSchema,
  Wait_Reason as WaitReasonNumber,
} from "../../gen/taskwatch/v1/task_pb.ts";
import { contentFromValue } from "../submit/content.ts";
import type { Attempt, AttemptError, Cancellation, Progress, TaskStatus, TimeLedger, Wait } from "./task-status.ts";

/** A status as the API writes it in JSON: proto3 JSON names, times as text, bytes in base64. For logs and pipes. */
export function statusToJson(status: TaskStatus): JsonObject {
  return toJson(TaskStatusSchema, statusToMessage(status)) as JsonObject;
}

/** The message that the status was made from. */
export function statusToMessage(status: TaskStatus): TaskStatusMessage {
  return create(
    TaskStatusSchema,
    present({
      taskId: status.taskId,
      queue: status.queue,
      type: status.type,
      state: StateNumber[status.state],
      priority: PriorityNumber[status.priority],
      attempt: status.attempt,
      maxAttempts: status.maxAttempts,
      progress: status.progress && progressToInit(status.progress),
      result: contentOf(status),
      error: status.error && attemptErrorToInit(status.error),
      wait: status.wait && waitToInit(status.wait),
      cancellation: status.cancellation && cancellationToInit(status.cancellation),
      attempts: status.attempts.map(attemptToInit),
      createTime: timestampOf(status.createdAt),
      scheduleTime: timestampOf(status.scheduledAt),
      startTime: timestampOf(status.startedAt),
      updateTime: timestampOf(status.updatedAt),
      endTime: timestampOf(status.endedAt),
      expireTime: timestampOf(status.expiresAt),
      leaseExpireTime: timestampOf(status.leaseExpiresAt),
      deadline: timestampOf(status.deadline),
      timeLedger: status.timeLedger && timeLedgerToInit(status.timeLedger),
      labels: { ...status.labels },
      retryOf: status.retryOf,
      worker: status.worker,
      traceparent: status.traceparent,
      revision: BigInt(status.revision),
    }),
  );
}

function contentOf({ result, resultContentType }: TaskStatus) {
  if (result === undefined && resultContentType === undefined) return undefined;
  return contentFromValue({ value: result, contentType: resultContentType, field: "result" });
}

function progressToInit({ done, total, unit, message, fraction }: Progress) {
  return present({ done, total, unit, message, fraction });
}

function attemptErrorToInit({ code, message, retryable, details }: AttemptError) {
  return { code, message, retryable, details: { ...details } };
}

function attemptToInit({ number, worker, startedAt, endedAt, outcome, error }: Attempt) {
  return present({
    number,
    worker,
    startTime: timestampOf(startedAt),
    endTime: timestampOf(endedAt),
    outcome: OutcomeNumber[outcome ?? "UNSPECIFIED"],
    error: error && attemptErrorToInit(error),
  });
}

function waitToInit({ reason, until }: Wait) {
  return present({ reason: WaitReasonNumber[reason], until: timestampOf(until) });
}

function cancellationToInit({ requestedBy, reason, requestedAt, graceMs }: Cancellation) {
  const grace = graceMs === undefined ? undefined : durationFromMs(graceMs);
  return present({ requestedBy, reason, requestTime: timestampOf(requestedAt), grace });
}

function timeLedgerToInit({ queuedMs, runningMs, backoffMs }: TimeLedger) {
  return {
    queued: durationFromMs(queuedMs),
    running: durationFromMs(runningMs),
    backoff: durationFromMs(backoffMs),
  };
}

function timestampOf(date: Date | undefined) {
  return date === undefined ? undefined : timestampFromDate(date);
}

type Present<Fields> = { [Name in keyof Fields as undefined extends Fields[Name] ? never : Name]: Fields[Name] } & {
  [Name in keyof Fields as undefined extends Fields[Name] ? Name : never]?: Exclude<Fields[Name], undefined>;
};

/** Leaves out what is undefined, as messages want it. */
function present<Fields extends object>(fields: Fields): Present<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<Fields>;
}

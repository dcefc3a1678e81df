import { createHash } from "node:crypto";

import { create, toBinary, toJson } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";

import { type Job, JobSchema } from "../gen/taskwatch/storage/v1/record_pb.ts";
import type { QueueSettings } from "../gen/taskwatch/v1/queue_service_pb.ts";
import { Priority, TaskState, TaskStatusSchema } from "../gen/taskwatch/v1/task_pb.ts";
import { type SubmitTaskRequest, SubmitTaskRequestSchema } from "../gen/taskwatch/v1/task_service_pb.ts";
import { invalidField } from "./errors.ts";
import { completeRetryPolicy, defaultRetryPolicy, retryPolicyMessage } from "./retry-policy.ts";
import { type TaskIds, taskIdFromKey } from "./task-id.ts";
import type { FreshTask } from "./task.ts";

/** The largest payload, encoded. Larger data belongs in an object store, by reference. */
export const maxPayloadBytes = 512 * 1024;

const defaultTimeoutMs = 3_600_000;
const defaultRetentionMs = 86_400_000;

/** A task that is ready to be stored. */
export interface Submission {
  readonly task: FreshTask;
  readonly job: Job;
  /** When it becomes runnable, in ms since 1970; undefined means at once. */
  readonly scheduleMs: number | undefined;
  /** Whether the caller gave a `request_id`, so that the task may be there already. */
  readonly repeatable: boolean;
}

/** Who submits, when, and what holds where the request says nothing. */
export interface SubmissionContext {
  readonly ids: TaskIds;
  readonly namespace: string;
  readonly nowMs: number;
  /** The settings of the queue. */
  readonly settings: QueueSettings | undefined;
  /** The W3C trace context of the caller, if it sent one. */
  readonly traceparent?: string | undefined;
  /** The task that this one runs again. */
  readonly retryOf?: string | undefined;
}

/** Turns a request whose fields have passed the schema's rules into what is stored. Throws REQUEST_INVALID for the payload's size. */
export function submissionFromRequest(request: SubmitTaskRequest, context: SubmissionContext): Submission {
  const { ids, namespace, nowMs, settings } = context;
  const { queue } = request;
  const repeatable = request.requestId !== "";
  const key = repeatable
    ? ids.forRequest({ namespace, queue, requestId: request.requestId })
    : ids.create({ namespace, queue, nowMs });
  const scheduleMs = scheduleFromRequest(request, nowMs);
  const retryPolicy = completeRetryPolicy(
    request.retryPolicy,
    completeRetryPolicy(settings?.retryPolicy, defaultRetryPolicy),
  );
  const priority = request.priority === Priority.UNSPECIFIED ? Priority.NORMAL : request.priority;
  const retentionMs = msOf(request.retention ?? settings?.retention, defaultRetentionMs);
  const job = create(JobSchema, {
    ...(request.payload === undefined ? {} : { payload: request.payload }),
    retryPolicy: retryPolicyMessage(retryPolicy),
    timeout: durationFromMs(msOf(request.timeout ?? settings?.timeout, defaultTimeoutMs)),
    retention: durationFromMs(retentionMs),
    fingerprint: repeatable ? fingerprintOf(request) : new Uint8Array(0),
  });
  assertPayloadSize(job);
  const immutable = toBinary(
    TaskStatusSchema,
    create(TaskStatusSchema, {
      taskId: taskIdFromKey(key),
      queue,
      type: request.type,
      priority,
      maxAttempts: retryPolicy.maxAttempts,
      createTime: timestampFromMs(nowMs),
      ...(scheduleMs === undefined ? {} : { scheduleTime: timestampFromMs(scheduleMs) }),
      ...(request.deadline === undefined ? {} : { deadline: request.deadline }),
      labels: request.labels,
      retryOf: context.retryOf ?? "",
      traceparent: context.traceparent ?? "",
    }),
  );
  const state = scheduleMs === undefined ? TaskState.QUEUED : TaskState.SCHEDULED;
  return { task: { key, immutable, state, priority }, job, scheduleMs, repeatable };
}

function scheduleFromRequest({ start }: SubmitTaskRequest, nowMs: number): number | undefined {
  if (start.case === undefined) return undefined;
  const scheduleMs = start.case === "delay" ? nowMs + durationMs(start.value) : timestampMs(start.value);
  return scheduleMs > nowMs ? Math.ceil(scheduleMs) : undefined;
}

function assertPayloadSize(job: Job): void {
  const payload = job.payload?.value;
  if (payload?.case === undefined) return;
  const bytes = payload.case === "data" ? payload.value.length : toBinary(JobSchema, job).length;
  if (bytes <= maxPayloadBytes) return;
  throw invalidField({
    field: "payload",
    description: `must be at most ${maxPayloadBytes} bytes encoded, got ${bytes}`,
    rule: "PAYLOAD_TOO_LARGE",
  });
}

/** The same for the same content, whatever the order of map entries: 16 bytes. */
function fingerprintOf(request: SubmitTaskRequest): Uint8Array {
  const json = toJson(SubmitTaskRequestSchema, request);
  const canonical = JSON.stringify(json, (_name, value: unknown) => {
    if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
  return createHash("sha256").update(canonical).digest().subarray(0, 16);
}

function msOf(duration: Parameters<typeof durationMs>[0] | undefined, fallbackMs: number): number {
  return duration === undefined ? fallbackMs : durationMs(duration);
}

import { create, fromBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import { type Job, JobSchema } from "../../gen/taskwatch/storage/v1/record_pb.ts";
import { type TaskStatus, TaskStatusSchema } from "../../gen/taskwatch/v1/task_pb.ts";
import type { JobDelivery } from "../../nats/job-delivery.ts";
import type { JobMessage } from "../../nats/jobs.ts";
import { completeRetryPolicy, type CompleteRetryPolicy } from "../../task/retry-policy.ts";

/** How long the status of a task is kept whose job cannot be read. */
const fallbackRetentionMs = 86_400_000;

/** A delivered job, decoded. */
export interface OpenedJob {
  readonly delivery: JobDelivery;
  /** What was fixed at submit. */
  readonly fixed: TaskStatus;
  readonly job: Job;
  /** Whether `job` is what was delivered. If that could not be read, it is an empty one. */
  readonly isReadable: boolean;
  readonly policy: CompleteRetryPolicy;
}

/** Decodes a delivered job. Throws if not even the status can be read: then nothing can be said of the task. */
export function openJob(delivery: JobDelivery): OpenedJob {
  const fixed = fromBinary(TaskStatusSchema, delivery.immutable);
  const job = readJob(delivery);
  return {
    delivery,
    fixed,
    job: job ?? create(JobSchema, { retention: durationFromMs(fallbackRetentionMs) }),
    isReadable: job !== undefined,
    policy: completeRetryPolicy(job?.retryPolicy),
  };
}

/** What is needed to send the job again. */
export function messageOf({ delivery, job }: OpenedJob): JobMessage {
  const { key, priority, immutable } = delivery;
  return { key, priority, immutable, job };
}

function readJob(delivery: JobDelivery): Job | undefined {
  try {
    return delivery.readJob();
  } catch {
    // The task is claimed all the same, so that it can fail and say why.
    return undefined;
  }
}

import { create, fromJson, type JsonValue, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { durationFromMs, ValueSchema } from "@bufbuild/protobuf/wkt";

import {
  type Content,
  ContentSchema,
  type RetryPolicy,
  RetryPolicy_Jitter,
  RetryPolicySchema,
  type TaskState,
} from "../../../src/gen/taskwatch/v1/task_pb.ts";
import type { SubmitTaskRequestSchema } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import type { StatusRecords } from "../../../src/nats/records.ts";
import type { Submission } from "../../../src/task/submission.ts";
import type { TaskKey } from "../../../src/task/task-id.ts";
import type { Task } from "../../../src/task/task.ts";
import { isTerminal, stateName } from "../../../src/task/transitions.ts";
import { createWorker, type Handler, type Worker, type WorkerOptions } from "../../../src/worker/index.ts";
import { type Deployment, openDeployment } from "../../support/deployment.ts";
import { eventually } from "../../support/eventually.ts";

/** The lease of all queues of these tests: short, so that losing one does not take long. */
export const leaseMs = 2_000;

/** What a test submits, besides queue and type. */
export type Request = Omit<MessageInitShape<typeof SubmitTaskRequestSchema>, "$typeName" | "queue" | "type">;

/** A deployment with a queue of the test's own, and its workers. */
export interface Bench extends AsyncDisposable {
  readonly deployment: Deployment;
  readonly queue: string;
  /** Starts a worker that has a handler for type `t`, or for the types given. */
  start(handlers: Handler | Record<string, Handler>, options?: Partial<WorkerOptions>): Promise<Worker>;
  submit(request?: Request & { readonly type?: string }): Promise<Submission>;
  /** The task once it has ended. */
  ended(submission: Submission, timeoutMs?: number): Promise<Task>;
  /** The task once it is in the state. */
  reached(submission: Submission, state: TaskState, timeoutMs?: number): Promise<Task>;
  /** How many messages there are of this kind on the queue. */
  count(kind: "job" | "delay" | "dead"): Promise<number>;
}

let benches = 0;

/** Sets up a bench on the server at `url`. */
export async function openBench(url: string): Promise<Bench> {
  benches += 1;
  const queue = `q${benches}`;
  const deployment = await openDeployment(url, { store: { leaseMs } });
  await deployment.store.queue(queue);
  const workers: Worker[] = [];
  const { records, nats } = deployment;
  return {
    deployment,
    queue,
    async start(handlers, options = {}) {
      const byType = typeof handlers === "function" ? { t: handlers } : handlers;
      const worker = createWorker({ nats: url, queue, handlers: byType, settleTimeoutMs: 500, ...options });
      workers.push(worker);
      await worker.start();
      return worker;
    },
    submit: ({ type = "t", ...request } = {}) => deployment.submit({ queue, type, ...request }),
    ended: ({ task: { key } }, timeoutMs) => untilTask(records, key, ({ head }) => isTerminal(head.state), timeoutMs),
    reached: ({ task: { key } }, state, timeoutMs) =>
      untilTask(records, key, ({ head }) => head.state === state, timeoutMs),
    async count(kind) {
      const info = await nats.manager.streams.info(`JOBS_${queue}`, { subjects_filter: `${kind}.>` });
      return Object.values(info.state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker.stop()));
      await deployment[Symbol.asyncDispose]();
    },
  };
}

/** A retry policy without jitter. */
export function policy(maxAttempts: number, backoffMs = 50, nonRetryableCodes: readonly string[] = []): RetryPolicy {
  return create(RetryPolicySchema, {
    maxAttempts,
    initialBackoff: durationFromMs(backoffMs),
    maximumBackoff: durationFromMs(10_000),
    multiplier: 2,
    jitter: RetryPolicy_Jitter.NONE,
    nonRetryableCodes: [...nonRetryableCodes],
  });
}

/** A JSON value as a payload. */
export function jsonPayload(value: JsonValue): Content {
  return create(ContentSchema, { value: { case: "json", value: fromJson(ValueSchema, value) } });
}

/** What a task's handler returned, as JSON. */
export function jsonResultOf({ mutable: { result } }: Task): JsonValue | undefined {
  return result?.value.case === "json" ? toJson(ValueSchema, result.value.value) : undefined;
}

/** The name of a task's state. */
export function stateOf({ head }: Task): string {
  return stateName(head.state);
}

async function untilTask(
  records: StatusRecords,
  key: TaskKey,
  isMet: (task: Task) => boolean,
  timeoutMs?: number,
): Promise<Task> {
  let last = "no record";
  try {
    return await eventually(
      "the task to get there",
      async () => {
        const task = await records.read(key);
        if (task === undefined) return undefined;
        last = `${stateOf(task)} ${task.mutable.error?.code ?? ""}`;
        return isMet(task) ? task : undefined;
      },
      timeoutMs === undefined ? {} : { timeoutMs },
    );
  } catch (error) {
    throw new Error(`task ${key.suffix} got no further than ${last}`, { cause: error });
  }
}

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { type Progress, ProgressSchema } from "../../src/gen/taskwatch/v1/task_pb.ts";
import { WatchStatusRequestSchema } from "../../src/gen/taskwatch/v1/task_service_pb.ts";
import { connectNats, type Nats } from "../../src/nats/connection.ts";
import { createJobs } from "../../src/nats/jobs.ts";
import { createStatusRecords, type StatusRecords } from "../../src/nats/records.ts";
import type { Watch } from "../../src/operations/operations.ts";
import type { WatchLimits } from "../../src/operations/watch-limits.ts";
import { createWatches, type Watches } from "../../src/operations/watch-status.ts";
import { cancel, type Draft, fail, heartbeat, reportProgress, retry, succeed } from "../../src/task/lifecycle.ts";
import type { Submission } from "../../src/task/submission.ts";
import { taskIdFromKey } from "../../src/task/task-id.ts";
import type { Task } from "../../src/task/task.ts";
import { newToken } from "../../src/task/write-token.ts";
import { createStatusReader, type StatusReader } from "../../src/view/read-status.ts";
import { openView, type View } from "../../src/view/view.ts";
import type { Deployment } from "./deployment.ts";
import { eventually } from "./eventually.ts";

/** What an API process has of views and watches, with a connection of its own. */
export interface ViewProcess extends AsyncDisposable {
  readonly nats: Nats;
  readonly view: View;
  readonly reader: StatusReader;
  readonly watches: Watches;
  /** How often a leader was asked for the last revision. */
  readonly leaderReads: number;
  /** What went wrong, as the view told it. */
  readonly troubles: readonly string[];
  /** Opens a watch of namespace `ns`. */
  watch(request: MessageInitShape<typeof WatchStatusRequestSchema>): Promise<Watch>;
}

/** How a process is to be. */
export interface ViewProcessOptions {
  readonly limits?: Partial<WatchLimits>;
  readonly nowMs?: () => number;
  /** Whether to wait until the view is ready. Default true. */
  readonly ready?: boolean;
}

/** Opens a view on the deployment, as another process would. */
export async function openViewProcess(deployment: Deployment, options: ViewProcessOptions = {}): Promise<ViewProcess> {
  const { nowMs = Date.now } = options;
  const nats = await connectNats({ url: deployment.nats.connection.getServer(), name: "view" });
  const troubles: string[] = [];
  const onTrouble = (what: string, detail: string) => troubles.push(`${what}: ${detail}`);
  const view = openView({ nats, epoch: deployment.store.epoch, onTrouble, nowMs });
  let leaderReads = 0;
  const records = createStatusRecords(nats);
  const counted: StatusRecords = {
    ...records,
    lastRevision() {
      leaderReads += 1;
      return records.lastRevision();
    },
  };
  const { ids } = deployment.store;
  const reader = createStatusReader({ view, jobs: createJobs(nats), records: counted, ids, nowMs });
  const watches = createWatches({ view, reader, ids, limits: options.limits });
  if (options.ready !== false) await view.whenReady({ timeoutMs: 10_000 });
  return {
    nats,
    view,
    reader,
    watches,
    troubles,
    get leaderReads() {
      return leaderReads;
    },
    watch(request) {
      const context = { caller: { name: "test", namespace: "ns" }, signal: AbortSignal.timeout(20_000) };
      return watches.watchStatus(create(WatchStatusRequestSchema, request), context);
    },
    async [Symbol.asyncDispose]() {
      watches.close();
      await view[Symbol.asyncDispose]();
      await nats[Symbol.asyncDispose]();
    },
  };
}

/** Steps that a worker or an API process takes with a task. */
export interface TaskSteps {
  progress(task: Task, done: number): Promise<Task>;
  heartbeat(task: Task): Promise<Task>;
  succeed(task: Task): Promise<Task>;
  fail(task: Task): Promise<Task>;
  retry(task: Task): Promise<Task>;
  cancel(task: Task): Promise<Task>;
}

/** Takes steps by writing records. `nowMs` and `leaseMs` are of no interest here. */
export function createSteps({ records }: Deployment): TaskSteps {
  const write = (draft: Draft) => records.write(draft, newToken());
  const nowMs = () => Date.now();
  const leaseMs = 30_000;
  const error = {
    code: "OOPS",
    message: "oops",
    retryable: true,
    details: {},
    $typeName: "taskwatch.v1.AttemptError",
  } as const;
  return {
    progress: (task, done) => write(reportProgress(task, { progress: progressOf(done), leaseMs, nowMs: nowMs() })),
    heartbeat: (task) => write(heartbeat(task, { leaseMs, nowMs: nowMs() })),
    succeed: (task) => write(succeed(task, { result: undefined, nowMs: nowMs() })),
    fail: (task) => write(fail(task, { writer: "attempt", error, nowMs: nowMs() })),
    retry: (task) => write(retry(task, { error, retryMs: nowMs() + 60_000, nowMs: nowMs() })),
    cancel: (task) => write(cancel(task, { writer: "api", nowMs: nowMs() })),
  };
}

function progressOf(done: number): Progress {
  return create(ProgressSchema, { done, total: 100, unit: "files" });
}

/** The id of a submitted task. */
export function idOf({ task }: Submission): string {
  return taskIdFromKey(task.key);
}

/** Waits until a view has everything that is in the bucket now. */
export async function inSync({ view }: Pick<ViewProcess, "view">, { records }: Deployment): Promise<void> {
  const revision = await records.lastRevision();
  await eventually(`the view to reach revision ${revision}`, () => view.appliedRevision >= revision);
}

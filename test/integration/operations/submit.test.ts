import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { CancelTaskRequestSchema, SubmitTaskRequestSchema } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { createTaskOperations, type OperationsOfProcess } from "../../../src/operations/task-operations.ts";
import { TaskError } from "../../../src/task/errors.ts";
import { succeed } from "../../../src/task/lifecycle.ts";
import { snapshotOfTask, taskIdOf } from "../../../src/task/task.ts";
import { newToken } from "../../../src/task/write-token.ts";
import { openView } from "../../../src/view/view.ts";
import { createWorker } from "../../../src/worker/index.ts";
import { type Deployment, openDeployment } from "../../support/deployment.ts";
import { eventually } from "../../support/eventually.ts";
import { useNatsServer } from "../../support/nats-server.ts";

const server = useNatsServer();
const caller = { name: "ann", namespace: "ns" };
const { signal } = new AbortController();

type Changes = Partial<Parameters<typeof createTaskOperations>[0]>;

/** The operations of a process, and their clock. */
async function openOperations(
  deployment: Deployment,
  changes: Changes = {},
): Promise<AsyncDisposable & { readonly operations: OperationsOfProcess }> {
  const { nats, store, jobs, records } = deployment;
  const view = openView({ nats, epoch: store.epoch, ...(changes.nowMs === undefined ? {} : { nowMs: changes.nowMs }) });
  await view.whenReady({ timeoutMs: 10_000 });
  const operations = createTaskOperations({ store, view, jobs, records, nowMs: Date.now, ...changes });
  return {
    operations,
    async [Symbol.asyncDispose]() {
      operations.close();
      await view[Symbol.asyncDispose]();
    },
  };
}

const request = (fields: MessageInitShape<typeof SubmitTaskRequestSchema> = {}) =>
  create(SubmitTaskRequestSchema, { queue: "q", type: "t", ...fields });

test("of two contents that race under one request_id, one is accepted, even when its task has ended in between", async () => {
  await using deployment = await openDeployment(server.url);
  const first = request({ requestId: "race", type: "first" });
  let ranFirst = false;
  // The other process accepts its task, and a worker is done with it, between our look-up and our write.
  const jobs = {
    ...deployment.jobs,
    submit: async (submission: Parameters<Deployment["jobs"]["submit"]>[0]) => {
      if (!ranFirst) {
        ranFirst = true;
        const rival = await deployment.submit({ requestId: "race", type: "first" });
        const running = await deployment.claim(rival);
        await deployment.records.write(succeed(running, { result: undefined, nowMs: Date.now() }), newToken());
        await deployment.jobs.remove(rival.task.key, rival.task.priority);
      }
      return deployment.jobs.submit(submission);
    },
  };
  await using process = await openOperations(deployment, { jobs });
  const refused = await process.operations
    .submitTask(request({ requestId: "race", type: "second" }), caller, signal)
    .catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(TaskError);
  expect(refused).toMatchObject({ reason: "REQUEST_ID_REUSED" });
  const again = await process.operations.submitTask(first, caller, signal);
  expect(again).toMatchObject({ duplicate: true, status: { state: TaskState.SUCCEEDED } });
  // What was written for the second is not left behind to be run.
  expect(await deployment.jobs.findFresh(again.status.key)).toBeUndefined();
});

test("a cancelled task does not run when its job could not be taken away, however late it is delivered", async () => {
  await using deployment = await openDeployment(server.url);
  const jobs = { ...deployment.jobs, remove: () => Promise.reject(new Error("not now")) };
  await using process = await openOperations(deployment, { jobs });
  const start = { case: "delay" as const, value: durationFromMs(1_000) };
  const { status } = await process.operations.submitTask(request({ queue: "late", start }), caller, signal);
  const taskId = taskIdOf(status);
  const cancelled = await process.operations.cancelTask(create(CancelTaskRequestSchema, { taskId }), caller, signal);
  expect(cancelled.state).toBe(TaskState.CANCELLED);
  const stored = await deployment.nats.manager.streams.getMessage("KV_TASKWATCH", { seq: cancelled.revision });
  expect(Number.parseInt(stored?.header.get("Nats-TTL") ?? "", 10)).toBeGreaterThanOrEqual(86_400 + 3_600);

  const ran: string[] = [];
  await using worker = createWorker({
    nats: server.url,
    queue: "late",
    handlers: { t: (task) => void ran.push(task.taskId) },
  });
  await worker.start();
  await eventually("the job to be dropped", async () => {
    const { state } = await deployment.nats.manager.streams.info("JOBS_late");
    return state.messages === 0;
  });
  expect(ran).toEqual([]);
});

test("a request_id may be used anew once the status of its task is not kept any more", async () => {
  await using deployment = await openDeployment(server.url);
  let offsetMs = 0;
  const nowMs = () => Date.now() + offsetMs;
  await using process = await openOperations(deployment, { nowMs });
  const retention = durationFromMs(60_000);
  const submit = () =>
    process.operations.submitTask(request({ queue: "anew", requestId: "r", retention }), caller, signal);
  const { status } = await submit();
  const taskId = taskIdOf(status);
  await process.operations.cancelTask(create(CancelTaskRequestSchema, { taskId }), caller, signal);
  expect(await submit()).toMatchObject({ duplicate: true, status: { state: TaskState.CANCELLED } });

  offsetMs = 61_000;
  const renewed = await submit();
  expect(taskIdOf(renewed.status)).toBe(taskId);
  expect(renewed).toMatchObject({ duplicate: false, status: { state: TaskState.QUEUED } });
  const fresh = await deployment.jobs.findFresh(renewed.status.key);
  expect(snapshotOfTask(fresh!.task).state).toBe(TaskState.QUEUED);
});

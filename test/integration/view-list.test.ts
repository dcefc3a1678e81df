import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { TaskState } from "../../src/gen/taskwatch/v1/task_pb.ts";
import { ListTasksRequestSchema, WaitTaskRequestSchema } from "../../src/gen/taskwatch/v1/task_service_pb.ts";
import { listTasks } from "../../src/operations/list-tasks.ts";
import { waitTask } from "../../src/operations/wait-task.ts";
import { succeed } from "../../src/task/lifecycle.ts";
import { decodeStatus, taskIdOf } from "../../src/task/task.ts";
import { newToken } from "../../src/task/write-token.ts";
import { openDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { createSteps, idOf, inSync, openViewProcess, type ViewProcess } from "../support/view-process.ts";

const caller = { name: "test", namespace: "ns" };
const { QUEUED, RUNNING, SUCCEEDED } = TaskState;

function list({ view }: ViewProcess, request: MessageInitShape<typeof ListTasksRequestSchema> = {}, namespace = "ns") {
  return listTasks({ view }, create(ListTasksRequestSchema, request), { caller: { ...caller, namespace } });
}

function wait(
  process: ViewProcess,
  taskId: string,
  options: { readonly timeoutMs?: number; readonly draining?: AbortSignal } = {},
) {
  const { timeoutMs, draining } = options;
  const request = { taskId, ...(timeoutMs === undefined ? {} : { timeout: durationFromMs(timeoutMs) }) };
  const { view, reader } = process;
  const context = { caller, signal: new AbortController().signal };
  return waitTask({ view, reader, draining }, create(WaitTaskRequestSchema, request), context);
}

test("tasks are listed newest first, by pages, with what is true of them now", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const steps = createSteps(deployment);
  const submissions = [];
  for (let index = 0; index < 25; index += 1) {
    submissions.push(
      await deployment.submit({ queue: `q${index % 2}`, labels: index % 5 === 0 ? { five: "yes" } : {} }),
    );
  }
  const ended = await steps.succeed(await deployment.claim(submissions[3]!));
  await deployment.claim(submissions[4]!);
  await inSync(process, deployment);
  await eventually("all tasks", () => list(process).statuses.length === 25);

  const first = list(process, { pageSize: 10 });
  expect(first.revision).toBe(ended.revision + 1);
  const second = list(process, { pageSize: 10, pageToken: first.nextPageToken });
  const third = list(process, { pageSize: 10, pageToken: second.nextPageToken });
  expect(third.nextPageToken).toBe("");
  const listed = [first, second, third].flatMap(({ statuses }) => statuses.map((status) => decodeStatus(status)));
  expect(listed.map(({ taskId }) => taskId).toSorted()).toEqual(submissions.map(idOf).toSorted());
  const times = listed.map(({ createTime }) => Number(createTime!.seconds) * 1e3 + createTime!.nanos / 1e6);
  expect(times).toEqual(times.toSorted((a, b) => b - a));

  const ids = (selector: MessageInitShape<typeof ListTasksRequestSchema>["selector"]) =>
    list(process, selector === undefined ? {} : { selector })
      .statuses.map(taskIdOf)
      .toSorted();
  expect(ids({ states: [SUCCEEDED, RUNNING] })).toEqual([idOf(submissions[3]!), idOf(submissions[4]!)].toSorted());
  expect(ids({ queues: ["q1"], states: [QUEUED] })).toHaveLength(11);
  expect(ids({ labels: { five: "yes" } })).toHaveLength(5);
  expect(ids({ labels: { five: "no" } })).toEqual([]);
  expect(ids({ types: ["other"] })).toEqual([]);
  expect(list(process, {}, "other").statuses).toEqual([]);
  const middleMs = times[12]!;
  expect(list(process, { createdAfter: timestampFromMs(middleMs) }).statuses.length).toBeGreaterThanOrEqual(13);
  expect(list(process, { createdBefore: timestampFromMs(middleMs) }).statuses.length).toBeLessThanOrEqual(12);
});

test("a page token is good for its own list only", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  await Promise.all(Array.from({ length: 5 }, () => deployment.submit()));
  await eventually("all tasks", () => list(process).statuses.length === 5);
  const selector = { states: [QUEUED, RUNNING], queues: ["q"] };
  const { nextPageToken: pageToken } = list(process, { pageSize: 2, selector });
  // The same list, asked for in another order.
  expect(
    list(process, { pageSize: 3, pageToken, selector: { queues: ["q"], states: [RUNNING, QUEUED] } }).statuses,
  ).toHaveLength(3);
  for (const other of [
    { pageToken },
    { pageToken, selector: { ...selector, types: ["t"] } },
    { pageToken, selector, createdBefore: timestampFromMs(1) },
    { pageToken: "garbage", selector },
    { pageToken: "AAAA", selector },
  ]) {
    expect(() => list(process, other)).toThrow(expect.objectContaining({ reason: "PAGE_TOKEN_INVALID" }));
  }
  expect(() => list(process, { pageToken, selector }, "other")).toThrow(
    expect.objectContaining({ reason: "PAGE_TOKEN_INVALID" }),
  );
});

test("a page is bounded by its bytes, and is larger without results", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const data = new Uint8Array(200 * 1024);
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const task = await deployment.claim(await deployment.submit());
      const result = {
        $typeName: "taskwatch.v1.Content" as const,
        value: { case: "data" as const, value: data },
        contentType: "",
      };
      await deployment.records.write(succeed(task, { result, nowMs: Date.now() }), newToken());
    }),
  );
  await inSync(process, deployment);
  const page = list(process);
  expect(page.statuses).toHaveLength(3);
  const rest = list(process, { pageToken: page.nextPageToken });
  expect(rest.statuses).toHaveLength(3);
  const lean = list(process, { omitResults: true });
  expect(lean.statuses).toHaveLength(8);
  expect(lean.statuses.map((status) => decodeStatus(status).result)).toEqual(
    Array.from({ length: 8 }, () => undefined),
  );
  expect(lean.statuses.map((status) => decodeStatus(status).state)).toEqual(Array.from({ length: 8 }, () => SUCCEEDED));
});

test("there is no list until the view has read the store", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment, { ready: false });
  expect(() => list(process)).toThrow(expect.objectContaining({ reason: "NOT_READY" }));
});

test("a wait ends with the task, with its time, or with the process", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const steps = createSteps(deployment);
  const submission = await deployment.submit();
  const taskId = idOf(submission);
  expect(await wait(process, taskId, { timeoutMs: 0 })).toMatchObject({ state: QUEUED });
  const startMs = performance.now();
  expect(await wait(process, taskId, { timeoutMs: 200 })).toMatchObject({ state: QUEUED });
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(195);

  const task = await deployment.claim(submission);
  const draining = new AbortController();
  const drained = wait(process, taskId, { draining: draining.signal });
  await eventually("the wait", () => process.view.subscriptions === 1);
  draining.abort();
  expect(await drained).toMatchObject({ state: RUNNING });

  const waits = Array.from({ length: 50 }, () => wait(process, taskId));
  await eventually("the waits", () => process.view.subscriptions === 50);
  const ended = await steps.succeed(task);
  for (const status of await Promise.all(waits))
    expect(status).toMatchObject({ state: SUCCEEDED, revision: ended.revision });
  expect(await wait(process, taskId)).toMatchObject({ state: SUCCEEDED });
  expect(process.view.subscriptions).toBe(0);
  await expect(wait(process, idOf(deployment.submission()))).rejects.toMatchObject({ reason: "TASK_EXPIRED" });
  await expect(wait(process, "nonsense")).rejects.toMatchObject({ reason: "TASK_NOT_FOUND" });
  expect(process.view.subscriptions).toBe(0);
});

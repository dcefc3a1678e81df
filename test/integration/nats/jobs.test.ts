import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { Priority, TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { WriteConflict } from "../../../src/nats/errors.ts";
import { openDeployment } from "../../support/deployment.ts";
import { eventually } from "../../support/eventually.ts";
import { useNatsServer } from "../../support/nats-server.ts";

const server = useNatsServer();

test("a submitted task is found on its queue, with everything a worker needs", async () => {
  await using deployment = await openDeployment(server.url);
  const submission = await deployment.submit({ priority: Priority.HIGH, labels: { a: "b" } });
  const found = await deployment.jobs.findFresh(submission.task.key);
  expect(found?.task.head).toMatchObject({ state: TaskState.QUEUED, priority: Priority.HIGH });
  expect([...found!.task.immutable]).toEqual([...submission.task.immutable]);
  expect(found?.job.retryPolicy).toEqual(submission.job.retryPolicy);
});

test("a delayed task is SCHEDULED, and QUEUED when its time has come", async () => {
  await using deployment = await openDeployment(server.url);
  const { task } = await deployment.submit({ start: { case: "delay", value: durationFromMs(400) } });
  expect((await deployment.jobs.findFresh(task.key))?.task.head.state).toBe(TaskState.SCHEDULED);
  const queued = await eventually("the task to be queued", async () => {
    const found = await deployment.jobs.findFresh(task.key);
    return found?.task.head.state === TaskState.QUEUED ? found : undefined;
  });
  expect(Buffer.compare(queued.task.immutable, task.immutable)).toBe(0);
});

test.each([
  { what: "the same again", second: {} },
  { what: "with another priority", second: { priority: Priority.HIGH } },
  { what: "delayed", second: { start: { case: "delay" as const, value: durationFromMs(60_000) } } },
])("a request_id is taken once: $what conflicts", async ({ what, second }) => {
  await using deployment = await openDeployment(server.url);
  await deployment.submit({ requestId: what.replaceAll(" ", "-") });
  const again = deployment.submit({ requestId: what.replaceAll(" ", "-"), ...second });
  await expect(again).rejects.toBeInstanceOf(WriteConflict);
});

test("of many that submit under one request_id at once, whatever their priority, one gets through", async () => {
  await using deployment = await openDeployment(server.url);
  const priorities = [Priority.HIGH, Priority.NORMAL, Priority.LOW];
  const submits = Array.from({ length: 30 }, (_, index) =>
    deployment.submit({ requestId: "race", priority: priorities[index % 3] ?? Priority.NORMAL }),
  );
  const settled = await Promise.allSettled(submits);
  expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
});

test("a retry is delivered at its time, to be claimed at its revision", async () => {
  await using deployment = await openDeployment(server.url);
  const { task, job } = await deployment.submit();
  await deployment.jobs.remove(task.key, task.priority);
  const message = { key: task.key, priority: task.priority, immutable: task.immutable, job };
  await deployment.jobs.delay(message, { dueMs: Date.now() + 300, revision: 77 });
  // Doing it again, as after a crash, changes nothing.
  await deployment.jobs.delay(message, { dueMs: Date.now() + 60_000, revision: 77 });
  const subject = `job.q.normal.ns.${task.key.suffix}`;
  const fired = await eventually(
    "the retry",
    async () => (await deployment.nats.manager.streams.getMessage("JOBS_q", { last_by_subj: subject })) ?? undefined,
  );
  expect(fired.header.get("Tw-Revision")).toBe("77");
  expect(await deployment.jobs.findFresh(task.key)).toBeUndefined();
});

test("the job of a failed task is kept for as long as its status", async () => {
  await using deployment = await openDeployment(server.url);
  const { task, job } = await deployment.submit({ retention: durationFromMs(61_000) });
  const message = { key: task.key, priority: task.priority, immutable: task.immutable, job };
  await deployment.jobs.bury(message);
  await deployment.jobs.bury(message);
  const subject = `dead.q.normal.ns.${task.key.suffix}`;
  const dead = await deployment.nats.manager.streams.getMessage("JOBS_q", { last_by_subj: subject });
  expect(dead?.header.get("Nats-TTL")).toBe("61s");
});

test("a removed task waits no more, delayed or not", async () => {
  await using deployment = await openDeployment(server.url);
  for (const start of [undefined, { case: "delay" as const, value: durationFromMs(60_000) }]) {
    const { task } = await deployment.submit(start === undefined ? {} : { start });
    await deployment.jobs.remove(task.key, task.priority);
    expect(await deployment.jobs.findFresh(task.key)).toBeUndefined();
  }
});

test("nothing is found of a task, or a queue, that never was", async () => {
  await using deployment = await openDeployment(server.url);
  expect(await deployment.jobs.findFresh(deployment.submission().task.key)).toBeUndefined();
  expect(await deployment.jobs.findFresh(deployment.submission({ queue: "never" }).task.key)).toBeUndefined();
});

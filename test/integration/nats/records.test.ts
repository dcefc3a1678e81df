import { expect, test } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { WriteConflict } from "../../../src/nats/errors.ts";
import { decodeRecord } from "../../../src/nats/records.ts";
import { cancel, heartbeat, succeed } from "../../../src/task/lifecycle.ts";
import { decodeStatus, snapshotOfTask } from "../../../src/task/task.ts";
import { newToken } from "../../../src/task/write-token.ts";
import { openDeployment } from "../../support/deployment.ts";
import { startNatsServer, useNatsServer } from "../../support/nats-server.ts";

const server = useNatsServer();

test("a record is read back as it was written", async () => {
  await using deployment = await openDeployment(server.url);
  const running = await deployment.claim(await deployment.submit({ labels: { team: "a" } }));
  const found = await deployment.records.read(running.key);
  expect(found?.revision).toBe(running.revision);
  expect(decodeStatus(snapshotOfTask(found!))).toEqual(decodeStatus(snapshotOfTask(running)));
});

test("there is no record of a task that nobody claimed", async () => {
  await using deployment = await openDeployment(server.url);
  const { task } = await deployment.submit();
  expect(await deployment.records.read(task.key)).toBeUndefined();
});

test("a write over an older revision conflicts and brings the record as it is", async () => {
  await using deployment = await openDeployment(server.url);
  const running = await deployment.claim(await deployment.submit());
  const alive = await deployment.records.write(heartbeat(running, { leaseMs: 1, nowMs: 1 }), newToken());
  const stale = deployment.records.write(succeed(running, { result: undefined, nowMs: 1 }), newToken());
  const conflict = await stale.catch((error: unknown) => error);
  expect(conflict).toBeInstanceOf(WriteConflict);
  expect(conflict).toMatchObject({ current: { revision: alive.revision } });
});

test("the same write made twice is one write", async () => {
  await using deployment = await openDeployment(server.url);
  const running = await deployment.claim(await deployment.submit());
  const draft = succeed(running, { result: undefined, nowMs: Date.now() });
  const token = newToken();
  const [once, twice] = [await deployment.records.write(draft, token), await deployment.records.write(draft, token)];
  expect(twice.revision).toBe(once.revision);
});

test("of a cancellation and a success that race, one is recorded and the other is told", async () => {
  await using deployment = await openDeployment(server.url);
  for (let round = 0; round < 25; round += 1) {
    const submission = await deployment.submit();
    const fresh = (await deployment.jobs.findFresh(submission.task.key))!.task;
    const settled = await Promise.allSettled([
      deployment.claim(submission),
      deployment.records.write(cancel(fresh, { writer: "api", nowMs: Date.now() }), newToken()),
    ]);
    expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  }
});

test("a record of a task that has ended goes an hour after its retention is over; others stay", async () => {
  await using deployment = await openDeployment(server.url);
  const running = await deployment.claim(await deployment.submit());
  await deployment.records.write(succeed(running, { result: undefined, nowMs: Date.now() }), newToken());
  const { manager } = deployment.nats;
  const stored = await manager.streams.getMessage("KV_TASKWATCH", { seq: running.revision + 1 });
  expect(stored?.header.get("Nats-TTL")).toBe("90000s");
  const other = await deployment.claim(await deployment.submit());
  const kept = await manager.streams.getMessage("KV_TASKWATCH", { seq: other.revision });
  expect(kept?.header.get("Nats-TTL")).toBe("");
});

test("a write whose answer is lost with the connection is found to have landed, or made again: never twice", async () => {
  await using own = await startNatsServer();
  await using deployment = await openDeployment(own.url);
  const running = await deployment.claim(await deployment.submit());
  process.kill(own.pid, "SIGSTOP");
  const write = deployment.records.write(succeed(running, { result: undefined, nowMs: Date.now() }), newToken());
  await own.kill();
  await own.restart();
  const written = await write;
  expect(written.head.state).toBe(TaskState.SUCCEEDED);
  expect(await deployment.records.read(running.key)).toMatchObject({ revision: written.revision });
});

test("the last revision is that of the last write", async () => {
  await using deployment = await openDeployment(server.url);
  const running = await deployment.claim(await deployment.submit());
  expect(await deployment.records.lastRevision()).toBe(running.revision);
});

test("bytes that are no record are refused", () => {
  expect(() => decodeRecord(new Uint8Array([1, 2, 3]))).toThrow("illegal");
  expect(() => decodeRecord(new Uint8Array(0))).toThrow("no head");
});

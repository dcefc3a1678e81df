import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { headers } from "@nats-io/transport-node";
import { describe, expect, test } from "vitest";

import { TaskState } from "../../src/gen/taskwatch/v1/task_pb.ts";
import { taskIdFromKey } from "../../src/task/task-id.ts";
import { decodeStatus, snapshotOfTask, type StatusSnapshot, type Task } from "../../src/task/task.ts";
import type { View } from "../../src/view/view.ts";
import { openDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { startNatsServer, useNatsServer } from "../support/nats-server.ts";
import { createSteps, inSync, openViewProcess } from "../support/view-process.ts";

const { QUEUED, RUNNING, SCHEDULED } = TaskState;

/** Hears of a task and keeps every status. */
function listen(view: View, key: Task["key"]): StatusSnapshot[] {
  const heard: StatusSnapshot[] = [];
  view.subscribe(key, {
    onStatus: (status) => heard.push(status),
    onRemoved: () => undefined,
    onReplaced: () => undefined,
  });
  return heard;
}

describe("a view", () => {
  const server = useNatsServer();

  test("has what was there before it, and what comes after, bytes and all", async () => {
    await using deployment = await openDeployment(server.url);
    const steps = createSteps(deployment);
    const submission = await deployment.submit({ labels: { a: "b" } });
    const task = await steps.progress(await deployment.claim(submission), 5);
    await using process = await openViewProcess(deployment);
    const before = process.view.get(task.key);
    expect(before && decodeStatus(before)).toEqual(decodeStatus(snapshotOfTask(task)));
    const after = await steps.succeed(task);
    await inSync(process, deployment);
    const status = process.view.get(task.key);
    expect(status && decodeStatus(status)).toEqual(decodeStatus(snapshotOfTask(after)));
    expect(process.troubles).toEqual([]);
  });

  test("has fresh tasks of all queues, those that were there and those that come, with how they wait", async () => {
    await using deployment = await openDeployment(server.url);
    const waiting = await deployment.submit({ queue: "one" });
    const delayed = await deployment.submit({
      queue: "two",
      start: { case: "delay", value: durationFromMs(60_000) },
    });
    await using process = await openViewProcess(deployment);
    expect(process.view.get(waiting.task.key)).toMatchObject({ state: QUEUED, revision: 0 });
    expect(process.view.get(delayed.task.key)).toMatchObject({ state: SCHEDULED, revision: 0 });
    const later = await deployment.submit({ queue: "three" });
    const status = await eventually("the new queue's task", () => process.view.get(later.task.key));
    expect(decodeStatus(status)).toMatchObject({ taskId: taskIdFromKey(later.task.key), state: QUEUED });
    expect(process.troubles).toEqual([]);
  });

  test("reads what it missed of a queue while its events were lost", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const stream = "JOBS_q";
    const { config } = await deployment.nats.manager.streams.info(stream);
    const { republish, ...silent } = config;
    // Without it the stream goes on, and tells nobody.
    await deployment.nats.manager.streams.update(stream, { ...silent, republish: undefined } as never);
    const missed = await Promise.all(Array.from({ length: 300 }, () => deployment.submit()));
    await process.nats.connection.flush();
    expect(missed.some(({ task }) => process.view.get(task.key) !== undefined)).toBe(false);
    await deployment.nats.manager.streams.update(stream, { ...config, republish: republish! });
    const heard = await deployment.submit();
    await eventually("the gap to be noticed and filled", () =>
      [...missed, heard].every(({ task }) => process.view.get(task.key)?.state === QUEUED),
    );
    expect(process.troubles).toEqual([]);
  });

  test("goes on after its consumer was deleted, without a gap", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const steps = createSteps(deployment);
    const submission = await deployment.submit();
    let task = await deployment.claim(submission);
    const heard = listen(process.view, task.key);
    const { manager } = deployment.nats;
    for await (const { name } of manager.consumers.list("KV_TASKWATCH"))
      await manager.consumers.delete("KV_TASKWATCH", name);
    for (let done = 1; done <= 5; done += 1) task = await steps.progress(task, done);
    await eventually("the last progress", () => heard.at(-1)?.revision === task.revision);
    expect(process.troubles.some((trouble) => trouble.startsWith("status feed is made anew"))).toBe(true);
    await eventually("proof", () => process.view.isProven);
  });

  test("passes over what is no record of ours", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const { key } = deployment.submission().task;
    await deployment.nats.publisher.publish({
      subject: `$KV.TASKWATCH.${key.queue}.${key.namespace}.${key.suffix}`,
      data: Buffer.from("garbage"),
    });
    await deployment.nats.publisher.publish({ subject: "$KV.TASKWATCH.odd", data: Buffer.from("x") });
    const task = await deployment.claim(await deployment.submit());
    await inSync(process, deployment);
    expect(process.view.get(task.key)?.state).toBe(RUNNING);
    expect(process.view.get(key)).toBeUndefined();
    expect(process.troubles).toHaveLength(1);
  });

  test("forgets what was deleted", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const task = await createSteps(deployment).succeed(await deployment.claim(await deployment.submit()));
    const fields = headers();
    fields.set("KV-Operation", "DEL");
    const { queue, namespace, suffix } = task.key;
    await deployment.nats.publisher.publish({
      subject: `$KV.TASKWATCH.${queue}.${namespace}.${suffix}`,
      data: new Uint8Array(0),
      headers: fields,
    });
    await inSync(process, deployment);
    expect(process.view.get(task.key)).toBeUndefined();
  });

  test("closes at once, also while it is opening", async () => {
    await using deployment = await openDeployment(server.url);
    for (let round = 0; round < 5; round += 1) {
      const process = await openViewProcess(deployment, { ready: false });
      const waiting = process.view.whenReady({ timeoutMs: 5_000 }).catch((error: unknown) => error);
      await process[Symbol.asyncDispose]();
      await waiting;
    }
    const { consumer_count: consumers } = (await deployment.nats.manager.streams.info("KV_TASKWATCH")).state;
    expect(consumers).toBe(0);
  });
});

describe("a view whose server is killed", () => {
  test("goes on where it was: no gap, nothing twice", { timeout: 60_000 }, async () => {
    await using server = await startNatsServer();
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const steps = createSteps(deployment);
    const tasks = await Promise.all(
      Array.from({ length: 20 }, async () => deployment.claim(await deployment.submit())),
    );
    const heard = tasks.map(({ key }) => listen(process.view, key));
    const stopping = new AbortController();
    const writing = tasks.map(async (first) => {
      let task = first;
      for (let done = 1; !stopping.signal.aborted; done += 1)
        task = await steps
          .progress(task, done)
          .catch(() => deployment.records.read(task.key).then((read) => read ?? task));
      return task;
    });
    for (let round = 0; round < 2; round += 1) {
      const { appliedRevision } = process.view;
      await eventually("writes to arrive", () => process.view.appliedRevision > appliedRevision + 100);
      await server.kill();
      await server.restart();
    }
    stopping.abort();
    const last = await Promise.all(writing);
    await eventually(
      "the last writes",
      () => last.every(({ key, revision }) => process.view.get(key)?.revision === revision),
      {
        timeoutMs: 20_000,
      },
    );
    for (const [index, statuses] of heard.entries()) {
      const revisions = statuses.map(({ revision }) => revision);
      expect(revisions).toEqual([...new Set(revisions)].toSorted((a, b) => a - b));
      expect(revisions.at(-1)).toBe(last[index]?.revision);
    }
    await eventually("proof", () => process.view.isProven);
  });

  test("is not proven while the server is silent, and is again when it speaks", async () => {
    await using server = await startNatsServer();
    await using deployment = await openDeployment(server.url);
    await using view = await openViewProcess(deployment);
    await eventually("proof", () => view.view.isProven);
    globalThis.process.kill(server.pid, "SIGSTOP");
    try {
      await eventually("the proof to be old", () => !view.view.isProven);
      expect(view.view.ready).toBe(true);
    } finally {
      globalThis.process.kill(server.pid, "SIGCONT");
    }
    await eventually("proof again", () => view.view.isProven);
  });
});

describe("a store that is another one than before", () => {
  test.each([
    {
      what: "was emptied",
      replace: async (deployment: Awaited<ReturnType<typeof openDeployment>>) => {
        await deployment.nats.manager.streams.purge("KV_TASKWATCH");
      },
      isOther: false,
    },
    {
      what: "was made anew",
      replace: async ({ nats }: Awaited<ReturnType<typeof openDeployment>>) => {
        await nats.manager.streams.delete("KV_TASKWATCH");
        await using again = await openDeployment(nats.connection.getServer());
        await again.claim(await again.submit());
      },
      isOther: true,
    },
  ])("is read from the beginning, and everybody is told: $what", { timeout: 60_000 }, async ({ replace }) => {
    await using server = await startNatsServer();
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const kept = await deployment.submit();
    const task = await deployment.claim(await deployment.submit());
    await inSync(process, deployment);
    await eventually("the fresh task", () => process.view.get(kept.task.key));
    let told = 0;
    process.view.subscribe(task.key, {
      onStatus: () => undefined,
      onRemoved: () => undefined,
      onReplaced: () => (told += 1),
    });
    const { epoch } = process.view;
    await replace(deployment);
    await eventually("the replacement to be noticed", () => told > 0, { timeoutMs: 30_000 });
    expect(process.view.epoch).not.toBe(epoch);
    await eventually("the view to be ready", () => process.view.ready);
    expect(process.view.get(task.key)?.revision ?? 0).toBe(0);
    // Its job is still on its queue.
    await eventually("the fresh task", () => process.view.get(kept.task.key));
    const next = await deployment.claim(await deployment.submit());
    await eventually("what is written now", () => process.view.get(next.key)?.state === RUNNING);
  });
});

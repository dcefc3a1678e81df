import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";

import { TaskState } from "../../src/gen/taskwatch/v1/task_pb.ts";
import { TaskError } from "../../src/task/errors.ts";
import { taskIdFromKey } from "../../src/task/task-id.ts";
import { decodeStatus } from "../../src/task/task.ts";
import { openDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { startNatsServer, useNatsServer } from "../support/nats-server.ts";
import { createSteps, inSync, openViewProcess } from "../support/view-process.ts";

const { QUEUED, RUNNING, SCHEDULED, SUCCEEDED } = TaskState;
const signal = new AbortController().signal;

describe("a read", () => {
  const server = useNatsServer();

  test("finds every task right after it was submitted elsewhere", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    for (let round = 0; round < 200; round += 1) {
      const scheduled = round % 3 === 0;
      const { task } = await deployment.submit(
        scheduled ? { start: { case: "delay", value: durationFromMs(60_000) } } : {},
      );
      const status = await process.reader.readStatus(task.key, { signal });
      expect(decodeStatus(status)).toMatchObject({
        taskId: taskIdFromKey(task.key),
        state: scheduled ? SCHEDULED : QUEUED,
        revision: 0n,
      });
    }
  });

  test("is never older than what was written before it", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const steps = createSteps(deployment);
    let task = await deployment.claim(await deployment.submit());
    for (let done = 0; done < 300; done += 1) {
      task = await steps.progress(task, done);
      expect((await process.reader.readStatus(task.key, { signal })).revision).toBe(task.revision);
    }
  });

  test("knows that the time of a task has come, though nobody told the view", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const { manager } = deployment.nats;
    const { task } = await deployment.submit({ queue: "mute", start: { case: "delay", value: durationFromMs(300) } });
    await eventually("the task", () => process.view.get(task.key));
    const { config } = await manager.streams.info("JOBS_mute");
    await manager.streams.update("JOBS_mute", { ...config, republish: undefined } as never);
    await eventually("its job", async () => (await deployment.jobs.findFresh(task.key))?.task.head.state === QUEUED);
    expect((await process.reader.readStatus(task.key, { signal })).state).toBe(QUEUED);
    // What was found is remembered.
    expect(process.view.get(task.key)?.state).toBe(QUEUED);
  });

  test("does not lose sight of tasks on their way from delay to job to record", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const steps = createSteps(deployment);
    const live = async () => {
      const submission = await deployment.submit({ start: { case: "delay", value: durationFromMs(150) } });
      const { key, priority } = submission.task;
      const seen = new Set<TaskState>();
      const over = new AbortController();
      const read = async () => {
        while (!over.signal.aborted && !seen.has(SUCCEEDED))
          seen.add((await process.reader.readStatus(key, { signal })).state);
      };
      // As a worker does: the record first, and the job is acknowledged at the end.
      const work = async () => {
        await eventually("its job", async () => (await deployment.jobs.findFresh(key))?.task.head.state === QUEUED);
        const queued = { ...submission, task: { ...submission.task, state: QUEUED } };
        const task = await steps.succeed(await deployment.claim(queued));
        await deployment.jobs.remove(key, priority);
        await process.reader.readStatus(task.key, { signal });
      };
      await Promise.all([read(), work().finally(() => over.abort())]);
      return seen;
    };
    for (const seen of await Promise.all(Array.from({ length: 20 }, live))) {
      expect(seen).toContain(SCHEDULED);
      expect(seen).toContain(SUCCEEDED);
    }
  });

  test("asks the leader far less often than it is asked", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const task = await deployment.claim(await deployment.submit());
    await inSync(process, deployment);
    const before = process.leaderReads;
    const reads = Array.from({ length: 20 }, async () => {
      for (let round = 0; round < 50; round += 1) await process.reader.readStatus(task.key, { signal });
    });
    await Promise.all(reads);
    // Twenty callers that ask one after the other are answered together, or in two groups.
    expect(process.leaderReads - before).toBeLessThanOrEqual(110);
  });

  test("of a task that has ended asks nobody", async () => {
    await using server2 = await startNatsServer();
    await using deployment = await openDeployment(server2.url);
    await using process = await openViewProcess(deployment);
    const steps = createSteps(deployment);
    const ended = await steps.succeed(await deployment.claim(await deployment.submit()));
    await inSync(process, deployment);
    await server2.kill();
    const before = process.leaderReads;
    expect((await process.reader.readStatus(ended.key, { signal })).state).toBe(SUCCEEDED);
    const [one] = await process.reader.readMany([ended.key], signal);
    expect(one).toMatchObject({ state: SUCCEEDED });
    expect(process.leaderReads).toBe(before);
    await server2.restart();
  });

  test("tells a task that never was from one that is no longer kept", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const { key } = deployment.submission().task;
    await expect(process.reader.readStatus(key, { signal })).rejects.toMatchObject({ reason: "TASK_EXPIRED" });
    for (const other of [
      { ...key, namespace: "other" },
      { ...key, suffix: key.suffix.replace(/.$/, (last) => (last === "0" ? "1" : "0")) },
    ]) {
      await expect(process.reader.readStatus(other, { signal })).rejects.toMatchObject({
        reason: "TASK_NOT_FOUND",
        message: "task not found",
      });
    }
  });

  test("of a task whose retention is over says so, though the store may still have it", async () => {
    let nowMs = Date.now();
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment, { nowMs: () => nowMs });
    const submission = await deployment.submit({ retention: durationFromMs(3_600_000) });
    const task = await createSteps(deployment).succeed(await deployment.claim(submission));
    await inSync(process, deployment);
    expect((await process.reader.readStatus(task.key, { signal })).state).toBe(SUCCEEDED);
    nowMs += 3_700_000;
    await expect(process.reader.readStatus(task.key, { signal })).rejects.toMatchObject({ reason: "TASK_EXPIRED" });
  });

  test("at least as new as a revision waits for it, and no longer than 2 s", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const steps = createSteps(deployment);
    let task = await deployment.claim(await deployment.submit());
    const before = process.leaderReads;
    for (let done = 0; done < 50; done += 1) {
      task = await steps.progress(task, done);
      const status = await process.reader.readStatus(task.key, { minRevision: task.revision, signal });
      expect(status.revision).toBe(task.revision);
    }
    expect(process.leaderReads).toBe(before);
    const startMs = performance.now();
    await expect(process.reader.readStatus(task.key, { minRevision: 1e15, signal })).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
    });
    expect(performance.now() - startMs).toBeLessThan(4_000);
  });

  test("works before the view is ready, straight from NATS", async () => {
    await using deployment = await openDeployment(server.url);
    const steps = createSteps(deployment);
    const [waiting, running, ended] = [await deployment.submit(), await deployment.submit(), await deployment.submit()];
    const keys = [waiting, running, ended].map(({ task }) => task.key);
    await deployment.claim(running);
    await steps.succeed(await deployment.claim(ended));
    await using process = await openViewProcess(deployment, { ready: false });
    expect(process.view.ready).toBe(false);
    const results = await process.reader.readMany(keys, signal);
    expect(results.map((result) => (result instanceof TaskError ? result.reason : result.state))).toEqual([
      QUEUED,
      RUNNING,
      SUCCEEDED,
    ]);
  });

  test("of many tasks gives each its own answer, in order, for one question to the leader", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const submissions = await Promise.all(Array.from({ length: 100 }, () => deployment.submit()));
    const claimed = await Promise.all(submissions.slice(0, 50).map((submission) => deployment.claim(submission)));
    const unknown = deployment.submission().task.key;
    const keys = [unknown, ...submissions.map(({ task }) => task.key), { ...unknown, namespace: "other" }];
    const before = process.leaderReads;
    const results = await process.reader.readMany(keys, signal);
    expect(process.leaderReads - before).toBe(1);
    expect(results.map((result) => (result instanceof TaskError ? result.reason : result.revision))).toEqual([
      "TASK_EXPIRED",
      ...claimed.map(({ revision }) => revision),
      ...Array.from({ length: 50 }, () => 0),
      "TASK_NOT_FOUND",
    ]);
  });

  test("that nobody waits for any more ends with the reason of its signal", async () => {
    await using deployment = await openDeployment(server.url);
    await using process = await openViewProcess(deployment);
    const task = await deployment.claim(await deployment.submit());
    const controller = new AbortController();
    const reading = process.reader.readStatus(task.key, { minRevision: 1e15, signal: controller.signal });
    const failure = reading.catch((error: unknown) => error);
    controller.abort(new Error("client has gone"));
    expect(await failure).toEqual(new Error("client has gone"));
    await process.reader.readStatus(task.key, { signal });
  });
});

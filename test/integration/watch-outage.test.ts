import { setImmediate as turn } from "node:timers/promises";

import { expect, test } from "vitest";

import type { Task } from "../../src/task/task.ts";
import { openDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { createSteps, idOf, inSync, openViewProcess } from "../support/view-process.ts";
import { readWatch } from "../support/watch-reader.ts";

test("watches live through the kill of the server: every end is seen, nothing twice", { timeout: 60_000 }, async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const steps = createSteps(deployment);
  const submissions = await Promise.all(Array.from({ length: 100 }, () => deployment.submit()));
  const readers = await Promise.all(
    submissions.map(async (submission) => readWatch(await process.watch({ taskIds: [idOf(submission)] }))),
  );
  // What an outage did to a write is found out by reading it back.
  const settle = async (task: Task, step: (task: Task) => Promise<Task>): Promise<Task> =>
    step(task).catch(async () => (await deployment.records.read(task.key)) ?? task);
  const work = async (submission: (typeof submissions)[number]) => {
    let task = await deployment.claim(submission);
    for (let done = 1; done <= 20; done += 1) {
      task = await settle(task, (from) => steps.progress(from, done));
      await turn();
    }
    return eventually("the end to be written", () => steps.succeed(task).catch(() => undefined), { timeoutMs: 30_000 });
  };
  const working = submissions.map(work);
  await eventually("work", () => process.view.appliedRevision > 300);
  await server.kill();
  await server.restart();
  const ended = await Promise.all(working);
  for (const [index, reader] of readers.entries()) {
    expect(await reader.untilEnd()).toBe("ok");
    const statuses = reader.events.flatMap((event) => (event.kind === "status" ? [event.status] : []));
    expect(statuses.at(-1)?.revision).toBe(ended[index]?.revision);
    const changes = statuses.map(({ change }) => change);
    expect(changes).toEqual([...new Set(changes)].toSorted((a, b) => a - b));
  }
  expect([process.watches.size, process.view.subscriptions]).toEqual([0, 0]);
});

test("there are no bookmarks while the server is silent, and there are again when it speaks", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await using view = await openViewProcess(deployment, { limits: { bookmarkMs: 200 } });
  using reader = readWatch(await view.watch({ taskIds: [idOf(await deployment.submit())] }));
  const count = () => reader.words.filter((word) => word === "bookmark").length;
  await eventually("some bookmarks", () => count() >= 3);
  globalThis.process.kill(server.pid, "SIGSTOP");
  try {
    await eventually("the proof to be old", () => !view.view.isProven);
    const before = count();
    // Long enough for several.
    const untilMs = performance.now() + 1_000;
    await eventually("a second to pass", () => performance.now() > untilMs);
    expect(count()).toBe(before);
    expect(reader.end).toBeUndefined();
  } finally {
    globalThis.process.kill(server.pid, "SIGCONT");
  }
  const before = count();
  await eventually("bookmarks again", () => count() > before);
});

test("watches of a store that is made anew end with STORE_REPLACED, and their tokens are worth nothing", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const submission = await deployment.submit();
  await deployment.claim(submission);
  const taskIds = [idOf(submission)];
  using reader = readWatch(await process.watch({ taskIds }));
  const { resumeToken } = reader.events.at(-1)!;
  await deployment.nats.manager.streams.delete("KV_TASKWATCH");
  await using again = await openDeployment(server.url);
  await again.claim(await again.submit());
  expect(await reader.untilEnd()).toMatchObject({ reason: "STORE_REPLACED" });
  await process.view.whenReady({ timeoutMs: 10_000 });
  await expect(process.watch({ taskIds, resumeToken })).rejects.toMatchObject({ reason: "STORE_REPLACED" });
  expect(process.view.subscriptions).toBe(0);
});

test("watches that come and go leave nothing behind", { timeout: 60_000 }, async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const steps = createSteps(deployment);
  const submissions = await Promise.all(Array.from({ length: 50 }, () => deployment.submit()));
  const tasks = await Promise.all(submissions.map((submission) => deployment.claim(submission)));
  await inSync(process, deployment);
  const countTimers = () => globalThis.process.getActiveResourcesInfo().filter((what) => what === "Timeout").length;
  // Counted in the same way as afterwards: to look takes timers, too.
  const before = await eventually("timers", countTimers);
  const { rows } = process.view.figures();
  const ids = submissions.map(idOf);
  for (let round = 0; round < 10; round += 1) {
    const watches = await Promise.all(
      Array.from({ length: 500 }, (_, index) =>
        process.watch({ taskIds: ids.slice(index % 40, (index % 40) + 3), minInterval: { seconds: 5n } }),
      ),
    );
    for (const watch of watches.slice(0, 250)) readWatch(watch);
    await Promise.all(tasks.map(async (task, index) => (tasks[index] = await steps.progress(task, round))));
    await inSync(process, deployment);
    for (const watch of watches) watch.close();
  }
  expect([process.watches.size, process.view.subscriptions]).toEqual([0, 0]);
  expect(process.view.figures().rows).toBe(rows);
  // One of a request may have been under way when they were counted first.
  await eventually("timers to be gone", () => countTimers() <= before);
});

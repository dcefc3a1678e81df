import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";

import { GoingAwayEvent_Reason, RemovedEvent_Reason } from "../../src/gen/taskwatch/v1/task_service_pb.ts";
import { PositionSet } from "../../src/operations/position-set.ts";
import { createTokenWriter, resumeScope, resumeTokenForSubmitted } from "../../src/operations/resume-token.ts";
import { snapshotOfTask, type Task, taskFromFresh } from "../../src/task/task.ts";
import { openDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { useNatsServer } from "../support/nats-server.ts";
import { createSteps, idOf, inSync, openViewProcess } from "../support/view-process.ts";
import { isState, readWatch } from "../support/watch-reader.ts";

const server = useNatsServer();

test("a watch shows the status at once, then every change, and ends OK after the end", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const steps = createSteps(deployment);
  const submission = await deployment.submit();
  using reader = readWatch(await process.watch({ taskIds: [idOf(submission)] }));
  expect(reader.words).toEqual(["QUEUED", "bookmark"]);
  let task = await deployment.claim(submission);
  await reader.until("the claim", isState("RUNNING"));
  task = await steps.retry(task);
  await reader.until("the failed attempt", isState("RETRYING"));
  await steps.cancel(task);
  expect(await reader.untilEnd()).toBe("ok");
  expect(reader.words).toEqual(["QUEUED", "bookmark", "RUNNING", "RETRYING", "CANCELLED"]);
  const snapshots = reader.events.flatMap((event) => (event.kind === "status" ? [event.snapshot] : []));
  expect(snapshots).toEqual([true, false, false, false]);
});

test("a delayed task is seen as SCHEDULED, and as QUEUED when its time has come", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const submission = await deployment.submit({ start: { case: "delay", value: durationFromMs(300) } });
  using reader = readWatch(await process.watch({ taskIds: [idOf(submission)] }));
  await reader.until("its time", isState("QUEUED"));
  expect(reader.words).toEqual(["SCHEDULED", "bookmark", "QUEUED"]);
});

test("many tasks come in the order of ids first, each once, whatever was asked for twice", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const submissions = await Promise.all(Array.from({ length: 50 }, () => deployment.submit()));
  const ids = submissions.map(idOf);
  await Promise.all(submissions.slice(0, 20).map((submission) => deployment.claim(submission)));
  using reader = readWatch(await process.watch({ taskIds: [...ids, ...ids] }));
  const seen = reader.events.flatMap((event) =>
    event.kind === "status" ? [`${event.status.key.queue}_${event.status.key.suffix}`] : [],
  );
  expect(seen).toEqual(ids.toSorted());
  expect(reader.words.at(-1)).toBe("bookmark");
});

test("heartbeats are not sent", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const steps = createSteps(deployment);
  const submission = await deployment.submit();
  using reader = readWatch(await process.watch({ taskIds: [idOf(submission)] }));
  let task = await deployment.claim(submission);
  for (let round = 0; round < 3; round += 1) task = await steps.heartbeat(task);
  task = await steps.progress(task, 1);
  for (let round = 0; round < 3; round += 1) task = await steps.heartbeat(task);
  await inSync(process, deployment);
  await steps.succeed(task);
  await reader.untilEnd();
  const changes = reader.events.flatMap((event) =>
    event.kind === "status" ? [event.status.change + event.merged] : [],
  );
  expect(changes).toEqual([...new Set(changes)]);
  expect(changes.at(-1)).toBe(5);
});

test("nothing falls between what is found and what follows, however writes and opening interleave", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const steps = createSteps(deployment);
  const rounds = Array.from({ length: 60 }, async (_, round) => {
    const submission = await deployment.submit();
    const work = async () => {
      let task = await deployment.claim(submission);
      for (let done = 0; done < round % 4; done += 1) task = await steps.progress(task, done);
      return steps.succeed(task);
    };
    const [task, reader] = await Promise.all([
      work(),
      process.watch({ taskIds: [idOf(submission)] }).then((watch) => readWatch(watch)),
    ]);
    expect(await reader.untilEnd()).toBe("ok");
    const statuses = reader.events.flatMap((event) => (event.kind === "status" ? [event] : []));
    expect(statuses[0]?.snapshot).toBe(true);
    expect(statuses.at(-1)?.status.revision).toBe(task.revision);
    const changes = statuses.map(({ status }) => status.change);
    expect(changes).toEqual([...new Set(changes)].toSorted((a, b) => a - b));
    const gaps = changes.slice(1).map((change, index) => change - changes[index]! - 1);
    expect(statuses.slice(1).map(({ merged }) => merged)).toEqual(gaps);
  });
  await Promise.all(rounds);
  expect(process.view.subscriptions).toBe(0);
});

test("the token of a submitted task shows all that came after, at any process", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const steps = createSteps(deployment);
  const waiting = await deployment.submit();
  const delayed = await deployment.submit({ start: { case: "delay", value: durationFromMs(100) } });
  const ended = await deployment.submit();
  const tokens = [waiting, delayed, ended].map(({ task, job }) =>
    resumeTokenForSubmitted(deployment.store.epoch, snapshotOfTask(taskFromFresh(task, job))),
  );
  await steps.succeed(await deployment.claim(ended));
  const open = (submission: typeof waiting, token: string) =>
    process.watch({ taskIds: [idOf(submission)], resumeToken: token }).then((watch) => readWatch(watch));
  using first = await open(waiting, tokens[0]!);
  expect(first.words).toEqual(["bookmark"]);
  using second = await open(delayed, tokens[1]!);
  await second.until("its time", isState("QUEUED"));
  using third = await open(ended, tokens[2]!);
  expect(await third.untilEnd()).toBe("ok");
  // QUEUED was seen, RUNNING was not.
  expect(third.words).toEqual(["SUCCEEDED+1"]);
});

describe("resumed after each of its messages, a watch sends exactly the rest", () => {
  test.each([{ where: "at the same process" }, { where: "at another process" }])("$where", async ({ where }) => {
    await using deployment = await openDeployment(server.url);
    await using here = await openViewProcess(deployment);
    await using there = await openViewProcess(deployment);
    const steps = createSteps(deployment);
    const submissions = [
      await deployment.submit(),
      await deployment.submit({ start: { case: "delay", value: durationFromMs(50) } }),
      await deployment.submit(),
    ];
    await eventually("the delayed task's time", async () => {
      const found = await deployment.jobs.findFresh(submissions[1]!.task.key);
      return found?.task.head.state !== submissions[1]!.task.state;
    });
    const taskIds = submissions.map(idOf);
    const script: ((tasks: Task[]) => Promise<void>)[] = [
      async (tasks) => void tasks.push(await deployment.claim(submissions[0]!)),
      async (tasks) => void (tasks[0] = await steps.progress(tasks[0]!, 1)),
      async (tasks) => void tasks.push(await deployment.claim(submissions[2]!)),
      async (tasks) => void (tasks[0] = await steps.retry(tasks[0]!)),
      async (tasks) => void (tasks[1] = await steps.succeed(tasks[1]!)),
      async (tasks) => void (tasks[0] = await steps.cancel(tasks[0]!)),
    ];
    const seen = new Map<string, number[]>();
    const tasks: Task[] = [];
    let resumeToken = "";
    let messages = 0;
    // One message a stream: everything is read by way of tokens.
    const readOne = async (turn: number): Promise<string> => {
      const process = where === "at the same process" || turn % 2 === 0 ? here : there;
      const watch = await process.watch({ taskIds, resumeToken });
      const event = watch.take();
      watch.close();
      if (event === undefined) return "nothing";
      messages += 1;
      ({ resumeToken } = event);
      if (event.kind === "status") {
        const { suffix } = event.status.key;
        seen.set(suffix, [...(seen.get(suffix) ?? []), event.status.change]);
      }
      return event.kind;
    };
    const readRest = async () => {
      while ((await readOne(messages)) !== "bookmark");
    };
    await readRest();
    for (const step of script) {
      await step(tasks);
      await readRest();
    }
    const [first, second, third] = submissions.map(({ task }) => seen.get(task.key.suffix));
    expect(first).toEqual([2, 3, 4, 5, 6]);
    expect(second?.at(-1)).toBe(2);
    expect(third).toEqual([2, 3, 4]);
  });
});

test("a resume is refused for other tasks, for garbage, for another store, and for what has not happened", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const submission = await deployment.submit();
  const taskIds = [idOf(submission)];
  using reader = readWatch(await process.watch({ taskIds }));
  const { resumeToken } = reader.events.at(-1)!;
  const other = idOf(await deployment.submit());
  const none = new PositionSet();
  const token = (epoch: bigint, revision: number) =>
    createTokenWriter(resumeScope(epoch, "ns", taskIds))({
      revision,
      change: 2,
      behind: none,
      scheduled: none,
      ended: none,
    });
  const { epoch } = deployment.store;
  await expect(process.watch({ taskIds: [...taskIds, other], resumeToken })).rejects.toMatchObject({
    reason: "RESUME_TOKEN_INVALID",
  });
  await expect(process.watch({ taskIds, resumeToken: "garbage" })).rejects.toMatchObject({
    reason: "RESUME_TOKEN_INVALID",
  });
  await expect(process.watch({ taskIds, resumeToken: token(epoch + 1n, 0) })).rejects.toMatchObject({
    reason: "STORE_REPLACED",
  });
  const head = await deployment.records.lastRevision();
  await expect(process.watch({ taskIds, resumeToken: token(epoch, head + 1) })).rejects.toMatchObject({
    reason: "STORE_REPLACED",
  });
  (await process.watch({ taskIds, resumeToken: token(epoch, head) })).close();
  expect(process.watches.size).toBe(1);
});

test("a fresh watch of a task that is not there is refused; a resumed one says that it is gone", async () => {
  let nowMs = Date.now();
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment, { nowMs: () => nowMs });
  const submission = await deployment.submit({ retention: durationFromMs(3_600_000) });
  const known = idOf(await deployment.submit());
  const never = idOf(deployment.submission());
  await expect(process.watch({ taskIds: [known, never] })).rejects.toMatchObject({ reason: "TASK_EXPIRED" });
  await expect(process.watch({ taskIds: [known, "q_nonsense"] })).rejects.toMatchObject({ reason: "TASK_NOT_FOUND" });
  await expect(process.watch({ taskIds: [] })).rejects.toMatchObject({ reason: "REQUEST_INVALID" });
  await expect(process.watch({ selector: {} })).rejects.toMatchObject({ reason: "NOT_IMPLEMENTED" });

  const taskIds = [idOf(submission), known];
  using reader = readWatch(await process.watch({ taskIds }));
  const { resumeToken } = reader.events.at(-1)!;
  reader[Symbol.dispose]();
  await createSteps(deployment).succeed(await deployment.claim(submission));
  await inSync(process, deployment);
  nowMs += 3_700_000;
  using resumed = readWatch(await process.watch({ taskIds, resumeToken }));
  expect(resumed.events[0]).toMatchObject({
    kind: "removed",
    taskId: taskIds[0],
    reason: RemovedEvent_Reason.UNKNOWN,
  });
  expect(process.watches.size).toBe(1);
});

test("a process that stops sends its watchers away, and lets no new ones in", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  await using next = await openViewProcess(deployment);
  const submissions = await Promise.all(Array.from({ length: 20 }, () => deployment.submit()));
  const readers = await Promise.all(
    submissions.map(async (submission) => readWatch(await process.watch({ taskIds: [idOf(submission)] }))),
  );
  process.watches.goingAway();
  const delays = readers.map(({ events, end }) => {
    expect(end).toBe("ok");
    const farewell = events.at(-1);
    expect(farewell).toMatchObject({ kind: "going_away", reason: GoingAwayEvent_Reason.DRAIN });
    return farewell?.kind === "going_away" ? farewell.resumeDelayMs : -1;
  });
  expect(Math.max(...delays) - Math.min(...delays)).toBeGreaterThan(300);
  await expect(process.watch({ taskIds: [idOf(submissions[0]!)] })).rejects.toMatchObject({ reason: "DRAINING" });
  expect([process.watches.size, process.view.subscriptions]).toEqual([0, 0]);
  const { resumeToken } = readers[0]!.events.at(-1)!;
  using resumed = readWatch(await next.watch({ taskIds: [idOf(submissions[0]!)], resumeToken }));
  expect(resumed.words).toEqual(["bookmark"]);
});

import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { GoingAwayEvent_Reason, RemovedEvent_Reason } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import type { WatchEvent } from "../../../src/operations/operations.ts";
import { readResumeToken, resumeScope } from "../../../src/operations/resume-token.ts";
import { TaskWatch } from "../../../src/operations/task-watch.ts";
import { TimerWheel } from "../../../src/operations/timer-wheel.ts";
import { defaultWatchLimits, type WatchLimits } from "../../../src/operations/watch-limits.ts";
import type { TaskError } from "../../../src/task/errors.ts";
import { taskIdOf } from "../../../src/task/task.ts";
import type { ViewState } from "../../../src/view/view-state.ts";
import { currentOf, isOver, ModelStore, type ModelTask, modelTask } from "../../support/view-model.ts";
import { wordOf } from "../../support/watch-reader.ts";
import { WatchWitness } from "../../support/watch-witness.ts";

const { RUNNING, RETRYING, SUCCEEDED, CANCELLING } = TaskState;

interface OpenOptions {
  readonly token?: string;
  readonly minIntervalMs?: number;
  readonly limits?: Partial<WatchLimits>;
  readonly isProven?: () => boolean;
}

let wheel = new TimerWheel();

function openWatch(state: ViewState, tasks: readonly ModelTask[], options: OpenOptions = {}): TaskWatch {
  const sorted = tasks.toSorted((a, b) => (a.taskId < b.taskId ? -1 : 1));
  const keys = sorted.map(({ key }) => key);
  const scope = resumeScope(
    1n,
    "ns",
    sorted.map(({ taskId }) => taskId),
  );
  const { token, minIntervalMs = 0, limits, isProven = () => true } = options;
  state.settle();
  return new TaskWatch({
    view: {
      get appliedRevision() {
        return state.appliedRevision;
      },
      get isProven() {
        return isProven();
      },
      get: (key) => state.get(key),
      subscribe: (key, subscriber) => state.subscribe(key, subscriber),
    },
    keys,
    found: keys.map((key) => state.get(key)),
    scope,
    resume: token === undefined ? undefined : readResumeToken(token, scope, keys.length),
    minIntervalMs,
    wheel,
    limits: { ...defaultWatchLimits, ...limits },
    onLag: () => undefined,
    onReleased: () => undefined,
  });
}

function takeAll(watch: TaskWatch): WatchEvent[] {
  const events: WatchEvent[] = [];
  for (let event = watch.take(); event !== undefined; event = watch.take()) events.push(event);
  return events;
}

const words = (events: readonly WatchEvent[]) => events.map(wordOf);

beforeEach(() => {
  wheel = new TimerWheel();
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance", "setImmediate", "clearImmediate"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a watch", () => {
  function begin(tasks: readonly ModelTask[], options: OpenOptions = {}) {
    const store = new ModelStore(tasks);
    const state = store.openView();
    const watch = openWatch(state, tasks, options);
    return { store, state, watch };
  }

  test("merges what a slow reader leaves, and says how much", () => {
    const task = modelTask();
    const { store, state, watch } = begin([task]);
    expect(words(takeAll(watch))).toEqual(["QUEUED", "bookmark"]);
    for (const next of [RUNNING, RUNNING, RETRYING, RUNNING]) {
      store.write(task, next);
      state.settle();
    }
    expect(words(takeAll(watch))).toEqual(["RUNNING+3"]);
  });

  test("wakes its reader once for what is due, and again after everything was taken", () => {
    const task = modelTask();
    const { store, state, watch } = begin([task]);
    let wakings = 0;
    watch.onReady = () => (wakings += 1);
    takeAll(watch);
    for (let round = 1; round <= 3; round += 1) {
      store.write(task, RUNNING);
      state.settle();
      store.write(task, RUNNING);
      state.settle();
      expect(wakings).toBe(round);
      takeAll(watch);
    }
  });

  test("sends progress at most once in the minimum interval, the latest of it; states and the end at once", () => {
    const task = modelTask();
    const { store, state, watch } = begin([task], { minIntervalMs: 1_000 });
    const send = (next: TaskState) => {
      store.write(task, next);
      state.settle();
      return words(takeAll(watch));
    };
    takeAll(watch);
    expect(send(RUNNING)).toEqual(["RUNNING"]);
    expect([...send(RUNNING), ...send(RUNNING)]).toEqual([]);
    vi.advanceTimersByTime(950);
    expect(words(takeAll(watch))).toEqual([]);
    vi.advanceTimersByTime(100);
    expect(words(takeAll(watch))).toEqual(["RUNNING+1"]);
    expect(send(RUNNING)).toEqual([]);
    expect(send(RETRYING)).toEqual(["RETRYING+1"]);
    expect(send(RUNNING)).toEqual(["RUNNING"]);
    expect(send(SUCCEEDED)).toEqual(["SUCCEEDED"]);
    expect(watch.end).toBe("ok");
  });

  test("goes on after progress that was held back when it was cut", () => {
    const task = modelTask();
    const other = modelTask();
    const { store, state, watch } = begin([task, other], { minIntervalMs: 60_000 });
    store.write(task, RUNNING);
    state.settle();
    takeAll(watch);
    store.write(task, RUNNING);
    state.settle();
    store.write(other, RUNNING);
    state.settle();
    const [last] = takeAll(watch).slice(-1);
    expect(last?.kind === "status" && taskIdOf(last.status)).toBe(other.taskId);
    watch.close();
    const resumed = takeAll(openWatch(state, [task, other], { token: last!.resumeToken }));
    expect(resumed.flatMap((event) => (event.kind === "status" ? [taskIdOf(event.status)] : []))).toEqual([
      task.taskId,
    ]);
  });

  test("gives a bookmark after the snapshot and then about every 10 s, but none while the view is unproven", () => {
    let isProven = true;
    const { watch } = begin([modelTask()], { isProven: () => isProven });
    expect(words(takeAll(watch))).toEqual(["QUEUED", "bookmark"]);
    const inTime = (ms: number) => {
      vi.advanceTimersByTime(ms);
      return words(takeAll(watch));
    };
    expect(inTime(7_900)).toEqual([]);
    expect(inTime(4_200)).toEqual(["bookmark"]);
    isProven = false;
    expect(inTime(60_000)).toEqual([]);
    isProven = true;
    expect(inTime(1_100)).toEqual(["bookmark"]);
  });

  test("keeps one bookmark for a reader who reads none", () => {
    const { watch } = begin([modelTask()], { limits: { maxStallMs: 1e9 } });
    watch.take();
    watch.take();
    vi.advanceTimersByTime(100_000);
    expect(words(takeAll(watch))).toEqual(["bookmark"]);
  });

  test("ends OK after a going-away, whose token stands for what was not sent", () => {
    const tasks = [modelTask(), modelTask()];
    const { store, state, watch } = begin(tasks);
    takeAll(watch);
    for (const task of tasks) store.write(task, RUNNING);
    state.settle();
    watch.take();
    watch.goAway(GoingAwayEvent_Reason.DRAIN, 700);
    expect(state.subscriptions).toBe(0);
    const [farewell, ...more] = takeAll(watch);
    expect(farewell).toMatchObject({ kind: "going_away", reason: GoingAwayEvent_Reason.DRAIN, resumeDelayMs: 700 });
    expect(more).toEqual([]);
    expect(watch.end).toBe("ok");
    expect(words(takeAll(openWatch(state, tasks, { token: farewell!.resumeToken })))).toEqual(["RUNNING", "bookmark"]);
  });

  test("sent away before anything was sent, goes on with everything", () => {
    const tasks = [modelTask(), modelTask({ scheduled: true })];
    const { state, watch } = begin(tasks);
    watch.goAway(GoingAwayEvent_Reason.DRAIN, 0);
    const [farewell] = takeAll(watch);
    const resumed = takeAll(openWatch(state, tasks, { token: farewell!.resumeToken }));
    expect(words(resumed).toSorted()).toEqual(["QUEUED", "SCHEDULED", "bookmark"].toSorted());
  });

  test("is sent away at its maximum age", () => {
    const { watch } = begin([modelTask()]);
    takeAll(watch);
    let woken = false;
    watch.onReady = () => {
      takeAll(watch).forEach((event) => (woken ||= event.kind === "going_away"));
    };
    vi.advanceTimersByTime(26 * 60_000);
    expect(woken).toBe(false);
    vi.advanceTimersByTime(8 * 60_000);
    expect(woken).toBe(true);
    expect(watch.end).toBe("ok");
    expect(wheel.size).toBe(0);
  });

  test.each([
    { what: "leaves everything where it is", limits: { maxStallMs: 30_000 }, waitMs: 45_000 },
    { what: "leaves too much", limits: { maxDueBytes: 10 }, waitMs: 0 },
  ])("closes a reader who $what, with a token", ({ limits, waitMs }) => {
    const task = modelTask();
    const { store, state, watch } = begin([task], { limits });
    takeAll(watch);
    store.write(task, RUNNING);
    state.settle();
    vi.advanceTimersByTime(waitMs);
    expect(takeAll(watch)).toEqual([]);
    expect(watch.end).toMatchObject({ reason: "SLOW_READER" });
    expect(state.subscriptions).toBe(0);
    const { metadata } = watch.end as TaskError;
    const resumed = openWatch(state, [task], { token: metadata["resume_token"]! });
    expect(words(takeAll(resumed))).toEqual(["RUNNING", "bookmark"]);
  });

  test("tells of a status that is gone, and not of that of a task whose end is due", () => {
    const tasks = [modelTask(), modelTask(), modelTask()];
    const [deleted, ended] = tasks.toSorted((a, b) => (a.taskId < b.taskId ? -1 : 1));
    const { store, state, watch } = begin(tasks);
    takeAll(watch);
    for (const task of [deleted!, ended!]) store.write(task, SUCCEEDED);
    state.settle();
    watch.take();
    for (const task of [deleted!, ended!]) state.addRemoval(task.key, (store.revision += 1));
    state.settle();
    expect(words(takeAll(watch))).toEqual(["SUCCEEDED"]);
    state.addRemoval(tasks.find((task) => task !== deleted && task !== ended)!.key, (store.revision += 1));
    state.settle();
    expect(takeAll(watch)).toMatchObject([{ kind: "removed", reason: RemovedEvent_Reason.DELETED }]);
    expect(watch.end).toBe("ok");
  });

  test("resumed for a task that is gone says so, once", () => {
    const tasks = [modelTask(), modelTask()];
    const { store, state, watch } = begin(tasks);
    const token = takeAll(watch).at(-1)!.resumeToken;
    state.addRemoval(tasks[0]!.key, (store.revision += 1));
    const resumed = takeAll(openWatch(state, tasks, { token }));
    expect(words(resumed)).toEqual(["removed", "bookmark"]);
    const removal = resumed.find(({ kind }) => kind === "removed");
    expect(removal).toMatchObject({ taskId: tasks[0]!.taskId, reason: RemovedEvent_Reason.UNKNOWN });
    expect(words(takeAll(openWatch(state, tasks, { token: resumed.at(-1)!.resumeToken })))).toEqual(["bookmark"]);
  });

  test("resumed after every end was sent gives a bookmark and ends OK", () => {
    const task = modelTask();
    const { store, state, watch } = begin([task]);
    store.write(task, SUCCEEDED);
    state.settle();
    const token = takeAll(watch).at(-1)!.resumeToken;
    const resumed = openWatch(state, [task], { token });
    expect(words(takeAll(resumed))).toEqual(["bookmark"]);
    expect(resumed.end).toBe("ok");
    expect(wheel.size).toBe(0);
  });

  test("ends with STORE_REPLACED when the store is another one", () => {
    const { state, watch } = begin([modelTask(), modelTask()]);
    takeAll(watch);
    let woken = 0;
    watch.onReady = () => (woken += 1);
    state.replaced(new Error("replaced"));
    expect(woken).toBe(1);
    expect(watch.take()).toBeUndefined();
    expect(watch.end).toMatchObject({ reason: "STORE_REPLACED" });
    expect(state.subscriptions).toBe(0);
  });

  test("holds nothing after it was closed, whatever was due", () => {
    const tasks = Array.from({ length: 20 }, () => modelTask());
    const { store, state, watch } = begin(tasks, { minIntervalMs: 500 });
    takeAll(watch);
    for (const task of tasks) store.write(task, RUNNING);
    state.settle();
    watch.take();
    watch.close();
    watch.close();
    expect(watch.take()).toBeUndefined();
    expect([wheel.size, state.subscriptions]).toEqual([0, 0]);
  });
});

const kinds = ["claim", "progress", "turn", "cancel", "end", "late cancel", "heartbeat", "queue"] as const;
type Kind = (typeof kinds)[number];
type Step =
  | { readonly do: "write"; readonly task: number; readonly kind: Kind }
  | { readonly do: "settle" }
  | { readonly do: "take"; readonly count: number }
  | { readonly do: "resume"; readonly atOtherProcess: boolean }
  | { readonly do: "wait"; readonly ms: number }
  /** Nothing is written, and everything is read. */
  | { readonly do: "rest" }
  /** The view loses everything and is read anew. */
  | { readonly do: "replay" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("write"), task: fc.nat(3), kind: fc.constantFrom(...kinds) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("settle") }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("take"), count: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("resume"), atOtherProcess: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wait"), ms: fc.constantFrom(60, 500, 11_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("rest", "replay") }) },
);

function write(store: ModelStore, task: ModelTask, kind: Kind): void {
  const { state } = currentOf(task);
  if (kind === "queue") return store.queue(task);
  if (kind === "heartbeat") return store.heartbeat(task);
  if (kind === "end") return store.write(task, SUCCEEDED);
  if (kind === "late cancel") return store.cancelAsScheduled(task);
  if (task.revision === 0) {
    // The view may not have heard that its time has come: that feed may lose what it tells.
    if (state === TaskState.SCHEDULED) task.changes.push({ revision: 0, change: 2, state: TaskState.QUEUED });
    return store.write(task, RUNNING);
  }
  if (kind === "cancel" && state === RUNNING) return store.write(task, CANCELLING);
  if (kind === "turn") return store.write(task, state === RETRYING ? RUNNING : RETRYING);
  return store.write(task, state);
}

describe("whatever happens, in whatever order it is read and however often it is cut", () => {
  test.each([
    { what: "one task", count: 1, minIntervalMs: 0 },
    { what: "one task, with a minimum interval", count: 1, minIntervalMs: 400 },
    { what: "some tasks", count: 4, minIntervalMs: 0 },
    { what: "some tasks, with a minimum interval", count: 4, minIntervalMs: 400 },
  ])("the contract holds: $what", { timeout: 60_000 }, ({ count, minIntervalMs }) => {
    const property = fc.property(
      fc.array(step, { maxLength: 60, size: "max" }),
      fc.array(fc.boolean(), { minLength: count, maxLength: count }),
      (steps, scheduled) => {
        const tasks = scheduled.map((isScheduled) => modelTask({ scheduled: isScheduled }));
        const store = new ModelStore(tasks);
        let state = store.openView();
        let watch = openWatch(state, tasks, { minIntervalMs });
        const witness = new WatchWitness(tasks, { holdsBack: minIntervalMs > 0 });
        const take = (most: number): void => {
          for (let taken = 0; taken < most; taken += 1) {
            const event = watch.take();
            if (event === undefined) return;
            witness.see(event);
          }
        };
        const readAnew = (): void => {
          store.fill(state);
          witness.viewWasReadAnew();
        };
        const resume = (atOtherProcess: boolean): void => {
          watch.close();
          if (atOtherProcess) {
            store.closeView(state);
            state = store.openView();
            witness.viewWasReadAnew();
          }
          witness.resumed();
          watch = openWatch(state, tasks, {
            minIntervalMs,
            ...(witness.token === undefined ? {} : { token: witness.token }),
          });
        };

        const rest = (): void => {
          state.settle();
          take(Number.POSITIVE_INFINITY);
          vi.advanceTimersByTime(minIntervalMs + 50);
          take(Number.POSITIVE_INFINITY);
          witness.checkLatest();
        };

        for (const next of steps) {
          if (next.do === "write") write(store, tasks[next.task % count]!, next.kind);
          else if (next.do === "settle") state.settle();
          else if (next.do === "take") take(next.count);
          else if (next.do === "wait") vi.advanceTimersByTime(next.ms);
          else if (next.do === "resume") resume(next.atOtherProcess);
          else if (next.do === "replay") readAnew();
          else rest();
        }
        for (const task of tasks) if (!isOver(task)) store.write(task, SUCCEEDED);
        state.settle();
        take(Number.POSITIVE_INFINITY);
        expect(witness.sawAllEnds, "W3").toBe(true);
        expect(watch.end).toBe("ok");
        expect(wheel.size).toBe(0);
        expect(state.subscriptions).toBe(0);
        store.closeView(state);
      },
    );
    fc.assert(property, { numRuns: 100 });
  });
});

import { setImmediate as turn } from "node:timers/promises";

import { expect, test } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { taskIdOf } from "../../../src/task/task.ts";
import { stateName } from "../../../src/task/transitions.ts";
import type { TaskSubscriber } from "../../../src/view/hub.ts";
import { ViewState } from "../../../src/view/view-state.ts";
import { ModelStore, type ModelTask, modelTask } from "../../support/view-model.ts";

const { RUNNING, SUCCEEDED } = TaskState;

/** Hears of tasks and keeps what it heard, with the revision that the view had applied at that moment. */
function listen(state: ViewState, tasks: readonly ModelTask[]) {
  const heard: string[] = [];
  const subscriber = (task: ModelTask): TaskSubscriber => ({
    onStatus: (status) =>
      heard.push(`${tasks.indexOf(task)} ${stateName(status.state)}@${status.revision}/${state.appliedRevision}`),
    onRemoved: (reason) => heard.push(`${tasks.indexOf(task)} ${reason}`),
    onReplaced: () => heard.push(`${tasks.indexOf(task)} replaced`),
  });
  for (const task of tasks) state.subscribe(task.key, subscriber(task));
  return heard;
}

test("what arrives in one turn is handed on at its end, merged by task, in the order of revisions", async () => {
  const tasks = [modelTask(), modelTask()];
  const store = new ModelStore(tasks);
  const state = store.openView();
  const heard = listen(state, tasks);
  const [first, second] = tasks;
  store.write(first!, RUNNING);
  store.write(second!, RUNNING);
  store.write(first!, RUNNING);
  expect(heard).toEqual([]);
  await turn();
  expect(heard).toEqual(["1 RUNNING@2/0", "0 RUNNING@3/0"]);
  expect(state.appliedRevision).toBe(3);
});

test("the end of a task is handed on before its being gone, also when both come at once", () => {
  const task = modelTask();
  const store = new ModelStore([task]);
  const state = store.openView();
  const heard = listen(state, [task]);
  store.write(task, SUCCEEDED);
  state.addRemoval(task.key, (store.revision += 1));
  state.settle();
  expect(heard).toEqual(["0 SUCCEEDED@1/0", "0 deleted"]);
  expect(state.get(task.key)).toBeUndefined();
});

test("whoever waits for a revision finds it in the index", async () => {
  const task = modelTask();
  const store = new ModelStore([task]);
  const state = store.openView();
  const found = state.waitFor(1, { timeoutMs: 1_000 }).then(() => state.get(task.key)?.revision);
  store.write(task, RUNNING);
  expect(await found).toBe(1);
});

test("a change that is pending is found by who asks for the task", () => {
  const task = modelTask();
  const store = new ModelStore([task]);
  const state = store.openView();
  store.write(task, RUNNING);
  expect(state.get(task.key)).toMatchObject({ state: RUNNING });
});

test("many changes are applied before the turn is over, so that no turn gets long", () => {
  const tasks = Array.from({ length: 2_500 }, () => modelTask());
  const store = new ModelStore(tasks);
  const state = store.openView();
  for (const task of tasks) store.write(task, RUNNING);
  expect(state.appliedRevision).toBe(2_000);
});

test("one subscriber that fails does not keep the others from hearing", () => {
  const tasks = [modelTask(), modelTask()];
  const troubles: string[] = [];
  const store = new ModelStore(tasks);
  const state = new ViewState({
    nowMs: Date.now,
    onApplied: () => undefined,
    onIndexFailed: () => undefined,
    onTrouble: (what) => troubles.push(what),
  });
  store.follow(state);
  state.subscribe(tasks[0]!.key, {
    onStatus() {
      throw new Error("defect");
    },
    onRemoved: () => undefined,
    onReplaced: () => undefined,
  });
  const heard = listen(state, tasks);
  for (const task of tasks) store.write(task, RUNNING);
  state.settle();
  expect(heard).toEqual(["0 RUNNING@1/0", "1 RUNNING@2/0"]);
  expect(troubles).toEqual(["subscriber failed"]);
});

test("who has ended a subscription hears nothing more, also within the same turn", () => {
  const task = modelTask();
  const store = new ModelStore([task]);
  const state = store.openView();
  const heard: string[] = [];
  const endings: (() => void)[] = [];
  for (const name of ["a", "b"]) {
    endings.push(
      state.subscribe(task.key, {
        onStatus() {
          heard.push(name);
          for (const end of endings) end();
        },
        onRemoved: () => undefined,
        onReplaced: () => undefined,
      }),
    );
  }
  store.write(task, RUNNING);
  state.settle();
  store.write(task, RUNNING);
  state.settle();
  expect(heard).toEqual(["a"]);
  expect(state.subscriptions).toBe(0);
});

test("a status that is handed on holds nothing of the buffer that it came in", () => {
  const task = modelTask();
  const store = new ModelStore([task]);
  const state = store.openView();
  const sizes: number[] = [];
  state.subscribe(task.key, {
    onStatus: (status) => sizes.push(status.bytes.buffer.byteLength),
    onRemoved: () => undefined,
    onReplaced: () => undefined,
  });
  store.write(task, RUNNING, { inBufferOf: 1_000_000 });
  state.settle();
  expect(sizes).toHaveLength(1);
  expect(sizes[0]).toBeLessThan(100_000);
  expect(taskIdOf({ key: task.key })).toBe(task.taskId);
});

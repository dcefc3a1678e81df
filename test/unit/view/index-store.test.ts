import * as fc from "fast-check";
import { expect, test } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import type { FreshTask } from "../../../src/task/task.ts";
import { IndexStore } from "../../../src/view/index-store.ts";
import { freshOf, ModelStore, type ModelTask, modelTask, recordOf } from "../../support/view-model.ts";

const { QUEUED, RUNNING, SCHEDULED, SUCCEEDED } = TaskState;

function openIndex(nowMs = () => 5_000) {
  const troubles: string[] = [];
  const index = new IndexStore({ nowMs, onTrouble: (what) => troubles.push(what) });
  return { index, troubles };
}

function countsOf(index: IndexStore): Record<string, number> {
  const entries = index.scopes
    .all()
    .flatMap(({ namespace, queue, counts }) =>
      [...counts].map(([state, count]) => [`${namespace}.${queue}.${state}`, count] as const),
    );
  return Object.fromEntries(entries);
}

function writeRecord(index: IndexStore, task: ModelTask, expireMs = 0): void {
  index.apply([{ kind: "record", record: recordOf(task, expireMs) }]);
}

test("the newest wins, in whatever order and however often changes come", { timeout: 30_000 }, () => {
  const steps = fc.array(
    fc.record({ task: fc.nat(4), what: fc.constantFrom("queue", "progress", "end", "heartbeat"), late: fc.nat(8) }),
    { maxLength: 60, size: "max" },
  );
  fc.assert(
    fc.property(steps, (chosen) => {
      const tasks = Array.from({ length: 5 }, (_, position) =>
        modelTask({ namespace: `n${position % 2}`, queue: `q${position % 3}`, scheduled: position > 1 }),
      );
      const store = new ModelStore(tasks);
      const { index } = openIndex();
      const changes = tasks.map((task) => () => index.apply([{ kind: "fresh", task: freshOf(task) }]));
      const captured: (() => void)[] = [];
      for (const capture of changes) captured.push(capture);
      const history: { readonly at: number; readonly apply: () => void }[] = [];
      for (const [at, { task: which, what, late }] of chosen.entries()) {
        const task = tasks[which]!;
        if (what === "queue") store.queue(task);
        else if (what === "heartbeat") store.heartbeat(task);
        else store.write(task, what === "end" ? SUCCEEDED : RUNNING);
        const fresh: FreshTask = freshOf(task);
        const record = task.revision === 0 ? undefined : recordOf(task);
        const apply = () =>
          index.apply([record === undefined ? { kind: "fresh", task: fresh } : { kind: "record", record }]);
        history.push({ at: at + late, apply });
        history.push({ at: at + late * 2, apply });
      }
      for (const { apply } of history.toSorted((a, b) => a.at - b.at)) apply();
      for (const apply of captured) apply();

      const expected: Record<string, number> = {};
      for (const task of tasks) {
        const found = index.get(task.key);
        const { state, change } = task.changes.at(-1)!;
        expect(found).toMatchObject({ state, change, revision: task.revision });
        const count = `${task.key.namespace}.${task.key.queue}.${state}`;
        expected[count] = (expected[count] ?? 0) + 1;
      }
      expect(countsOf(index)).toEqual(expected);
      expect(index.rows).toBe(tasks.length);
      index.close();
    }),
    { numRuns: 50 },
  );
});

test("a heartbeat makes a newer revision, and not a newer visible one", () => {
  const task = modelTask();
  const store = new ModelStore([task]);
  const { index } = openIndex();
  index.apply([{ kind: "fresh", task: freshOf(task) }]);
  store.write(task, RUNNING);
  writeRecord(index, task);
  expect(index.get(task.key)).toMatchObject({ revision: 1, visibleRevision: 1 });
  store.heartbeat(task);
  writeRecord(index, task);
  expect(index.get(task.key)).toMatchObject({ revision: 2, visibleRevision: 1 });
  store.write(task, RUNNING);
  writeRecord(index, task);
  expect(index.get(task.key)).toMatchObject({ revision: 3, visibleRevision: 3 });
});

test("a task of another namespace or queue is another one, also with the same suffix", () => {
  const task = modelTask();
  const { index } = openIndex();
  index.apply([{ kind: "fresh", task: freshOf(task) }]);
  expect(index.get({ ...task.key, namespace: "other" })).toBeUndefined();
  expect(index.get({ ...task.key, queue: "other" })).toBeUndefined();
  const intruder = { ...freshOf(task), key: { ...task.key, queue: "other" }, state: SCHEDULED };
  index.apply([{ kind: "fresh", task: intruder }]);
  expect(index.get(task.key)?.state).toBe(QUEUED);
});

test("what is over is absent at once, and removed a minute later in bounded steps", () => {
  let now = 1_000;
  const { index } = openIndex(() => now);
  const tasks = Array.from({ length: 10 }, () => modelTask({ labels: { a: "b", c: "d" } }));
  const store = new ModelStore(tasks);
  for (const [position, task] of tasks.entries()) {
    store.write(task, SUCCEEDED);
    writeRecord(index, task, 2_000 + position);
  }
  now = 2_004;
  expect(tasks.map(({ key }) => index.get(key) !== undefined)).toEqual(tasks.map((_, position) => position > 4));
  expect(index.expire(3)).toEqual([]);
  expect(tasks.every(({ key }) => index.mayHaveRecord(key))).toBe(true);
  now = 62_004;
  expect([index.expire(3).length, index.expire(3).length, index.expire(3).length]).toEqual([3, 2, 0]);
  expect(index.rows).toBe(5);
  now = 69_999;
  index.expire(100);
  expect(index.rows).toBe(0);
  expect(countsOf(index)).toEqual({});
  expect(index.database.prepare("SELECT count(*) AS n FROM label").get()).toEqual({ n: 0 });
});

test("an id that is taken again after its task was forgotten is a new task", () => {
  let now = 1_000;
  const { index } = openIndex(() => now);
  const task = modelTask();
  const store = new ModelStore([task]);
  store.write(task, SUCCEEDED);
  writeRecord(index, task, 2_000);
  now = 3_000;
  index.apply([{ kind: "fresh", task: { ...freshOf(task), state: QUEUED } }]);
  expect(index.get(task.key)).toMatchObject({ revision: 0, state: QUEUED });
  expect(index.rows).toBe(1);
});

test("a deleted record is gone, unless a newer one was written", () => {
  const { index } = openIndex();
  const task = modelTask({ labels: { a: "b" } });
  const store = new ModelStore([task]);
  store.write(task, RUNNING);
  writeRecord(index, task);
  index.apply([{ kind: "removed", key: task.key, revision: 1 }]);
  expect(index.get(task.key)).toBeDefined();
  index.apply([{ kind: "removed", key: task.key, revision: 2 }]);
  expect(index.get(task.key)).toBeUndefined();
  expect(index.rows).toBe(0);
});

test("a status that cannot be read is left out and told of; the rest is kept", () => {
  const { index, troubles } = openIndex();
  const [bad, good] = [modelTask(), modelTask()];
  const garbage = { ...freshOf(bad), immutable: Uint8Array.of(255, 255, 255) };
  index.apply([
    { kind: "fresh", task: garbage },
    { kind: "fresh", task: freshOf(good) },
  ]);
  expect(index.get(bad.key)).toBeUndefined();
  expect(index.get(good.key)).toBeDefined();
  expect(troubles).toEqual(["status is unreadable"]);
});

test("knows whether it holds what should still be stored and is not", () => {
  const now = 1_000;
  const { index } = openIndex(() => now);
  const [running, ended] = [modelTask(), modelTask()];
  const store = new ModelStore([running, ended]);
  index.apply([{ kind: "fresh", task: freshOf(running) }]);
  expect(index.holdsFromBefore(100)).toBe(false);
  store.write(ended, SUCCEEDED);
  writeRecord(index, ended, now + 30_000);
  // It may have been forgotten a little earlier by another clock.
  expect(index.holdsFromBefore(100)).toBe(false);
  store.write(running, RUNNING);
  writeRecord(index, running);
  expect([index.holdsFromBefore(2), index.holdsFromBefore(3)]).toEqual([false, true]);
  store.write(running, SUCCEEDED);
  writeRecord(index, running, now + 86_400_000);
  expect([index.holdsFromBefore(3), index.holdsFromBefore(4)]).toEqual([false, true]);
});

test("the record of an id that was taken again replaces all of the old one, if its end was not forgotten yet", () => {
  const { index } = openIndex();
  const task = modelTask({ type: "old", labels: { a: "b" } });
  const store = new ModelStore([task]);
  store.write(task, SUCCEEDED);
  writeRecord(index, task, 60_000);
  const again = { ...modelTask({ type: "new", labels: { c: "d" }, createMs: 2_000 }), key: task.key, revision: 9 };
  again.changes.push({ revision: 9, change: 3, state: RUNNING });
  writeRecord(index, again);
  expect(index.get(task.key)).toMatchObject({ revision: 9, visibleRevision: 9, state: RUNNING });
  const rows = index.database.prepare("SELECT type, labels, create_ms AS createMs FROM task").all();
  expect(rows).toEqual([{ type: "new", labels: '["c=d"]', createMs: 2_000 }]);
  expect(index.database.prepare("SELECT label FROM label").all()).toEqual([{ label: "c=d" }]);
});

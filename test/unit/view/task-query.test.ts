import { create, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { TaskState, TaskStatusSchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { taskIdOf } from "../../../src/task/task.ts";
import { IndexStore } from "../../../src/view/index-store.ts";
import {
  createTaskQueries,
  type ListPosition,
  type QueryTasks,
  type TaskFilter,
} from "../../../src/view/task-query.ts";
import { currentOf, ModelStore, type ModelTask, modelTask, recordOf } from "../../support/view-model.ts";

const { FAILED, QUEUED, RUNNING, SUCCEEDED } = TaskState;
const all: TaskFilter = { namespace: "ns", queues: [], types: [], states: [], labels: [] };

interface Listed extends ModelTask {
  readonly type: string;
  readonly labels: Record<string, string>;
  readonly createMs: number;
}

function fill(tasks: readonly ModelTask[], nowMs = 5_000) {
  const index = new IndexStore({
    nowMs: () => nowMs,
    onTrouble: (what) => {
      throw new Error(what);
    },
  });
  index.apply(tasks.map((task) => ({ kind: "record", record: recordOf(task) })));
  return { index, query: createTaskQueries(index, { nowMs: () => nowMs }) };
}

function listAll(
  query: QueryTasks,
  filter: TaskFilter,
  limit: number,
): { readonly ids: string[]; readonly pages: number } {
  const ids: string[] = [];
  let after: ListPosition | undefined;
  for (let pages = 1; ; pages += 1) {
    const { statuses, next } = query({ filter, after, limit, maxBytes: 1e9 });
    expect(statuses.length).toBeLessThanOrEqual(limit);
    ids.push(...statuses.map(taskIdOf));
    if (next === undefined) return { ids, pages };
    after = next;
  }
}

const names = (prefix: string, count: number) =>
  fc.constantFrom(...Array.from({ length: count }, (_, i) => `${prefix}${i}`));
const states = fc.constantFrom(QUEUED, RUNNING, SUCCEEDED, FAILED);
const tasks = fc.array(
  fc.record({
    namespace: fc.constantFrom("ns", "other"),
    queue: names("q", 3),
    type: names("t", 3),
    labels: fc.dictionary(names("k", 2), names("v", 2)),
    createMs: fc.integer({ min: 1_000, max: 1_020 }),
    state: states,
  }),
  { maxLength: 80, size: "max" },
);
const few = <Value>(value: fc.Arbitrary<Value>) => fc.uniqueArray(value, { maxLength: 2 });
const filters: fc.Arbitrary<TaskFilter> = fc.record({
  namespace: fc.constant("ns"),
  queues: few(names("q", 4)),
  types: few(names("t", 4)),
  states: few(states),
  labels: few(fc.tuple(names("k", 2), names("v", 2)).map(([key, value]) => `${key}=${value}`)),
  fromMs: fc.option(fc.integer({ min: 995, max: 1_025 }), { nil: undefined }),
  beforeMs: fc.option(fc.integer({ min: 995, max: 1_025 }), { nil: undefined }),
});

test(
  "the pages of a list are the matching tasks, newest first, none twice and none missing",
  { timeout: 30_000 },
  () => {
    fc.assert(
      fc.property(tasks, filters, fc.integer({ min: 1, max: 20 }), (specs, filter, limit) => {
        const listed: Listed[] = specs.map(({ state, ...spec }, position) => {
          const task = modelTask(spec);
          task.revision = position + 1;
          task.changes.push({ revision: position + 1, change: 3, state });
          return { ...task, ...spec };
        });
        const { index, query } = fill(listed);
        const wanted = <Value>(values: readonly Value[], value: Value) => values.length === 0 || values.includes(value);
        const matching = listed.filter(
          (task) =>
            task.key.namespace === filter.namespace &&
            wanted(filter.queues, task.key.queue) &&
            wanted(filter.types, task.type) &&
            wanted(filter.states, currentOf(task).state) &&
            filter.labels.every((label) =>
              Object.entries(task.labels).some(([key, value]) => `${key}=${value}` === label),
            ) &&
            task.createMs >= (filter.fromMs ?? 0) &&
            task.createMs < (filter.beforeMs ?? Infinity),
        );
        const { ids } = listAll(query, filter, limit);
        expect(ids.toSorted()).toEqual(matching.map(({ taskId }) => taskId).toSorted());
        const times = ids.map((id) => listed.find(({ taskId }) => taskId === id)!.createMs);
        expect(times).toEqual(times.toSorted((a, b) => b - a));
        index.close();
      }),
      { numRuns: 60 },
    );
  },
);

describe("a page", () => {
  const many = Array.from({ length: 10_000 }, (_, position) => {
    const task = modelTask({
      createMs: 1_000 + position,
      type: position === 0 ? "rare" : "t",
      queue: `q${position % 5}`,
    });
    task.revision = position + 1;
    task.changes.push({ revision: position + 1, change: 3, state: position % 2 === 0 ? RUNNING : SUCCEEDED });
    return task;
  });
  const { query } = fill(many);

  test("looks at a bounded number of rows, and says where to go on", () => {
    const filter = { ...all, types: ["rare"] };
    const first = query({ filter, limit: 10, maxBytes: 1e9 });
    expect(first.statuses).toEqual([]);
    expect(first.next?.createMs).toBe(1_000 + 10_000 - 3_000);
    const { ids, pages } = listAll(query, filter, 10);
    expect(ids).toEqual([many[0]!.taskId]);
    expect(pages).toBe(4);
  });

  test.each([
    { what: "everything", filter: all },
    { what: "one state", filter: { ...all, states: [RUNNING] } },
    { what: "some queues", filter: { ...all, queues: ["q1", "q2"] } },
  ])("of $what is found without looking at the rest", ({ filter }) => {
    const { statuses, next } = query({ filter, limit: 1_000, maxBytes: 1e9 });
    expect(statuses).toHaveLength(1_000);
    expect(next).toBeDefined();
  });

  test("is short when it is full by bytes, and never without a status for that", () => {
    const [{ bytes } = { bytes: new Uint8Array(0) }] = query({ filter: all, limit: 1, maxBytes: 1e9 }).statuses;
    const short = query({ filter: all, limit: 100, maxBytes: bytes.length * 3 });
    expect(short.statuses).toHaveLength(3);
    expect(short.next?.taskId).toBe(taskIdOf(short.statuses[2]!));
    const tiny = query({ filter: all, after: short.next, limit: 100, maxBytes: 1 });
    expect(tiny.statuses.map(taskIdOf)).toEqual([many[10_000 - 4]!.taskId]);
  });

  test("counts bytes after they were trimmed", () => {
    const trim = () => new Uint8Array(1);
    expect(query({ filter: all, limit: 100, maxBytes: 60, trim }).statuses).toHaveLength(60);
  });

  test("that ends with the last task names no other", () => {
    const { statuses, next } = query({ filter: { ...all, beforeMs: 1_005 }, limit: 5, maxBytes: 1e9 });
    expect([statuses.length, next]).toEqual([5, undefined]);
  });
});

test("tasks whose time is over are not listed", () => {
  const task = modelTask();
  new ModelStore([task]).write(task, SUCCEEDED);
  const { index, query } = fill([]);
  const bytes = toBinary(TaskStatusSchema, create(TaskStatusSchema, {}));
  index.apply([{ kind: "record", record: { ...recordOf(task, 4_999), bytes, immutableLength: 0 } }]);
  expect(query({ filter: all, limit: 10, maxBytes: 1e9 }).statuses).toEqual([]);
});

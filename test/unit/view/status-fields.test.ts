import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { Priority, TaskState, TaskStatusSchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { decodeStatus, type FreshTask, snapshotOfTask, taskFromFresh } from "../../../src/task/task.ts";
import { encodeFreshStatus, labelText, readFixedFields, withoutResult } from "../../../src/view/status-fields.ts";

const createMs = fc.integer({ min: 0, max: 4_102_444_800_000 });
const text = fc.string({ maxLength: 200, unit: "grapheme" });

test("what lists pick tasks by is read as a full decode reads it", () => {
  fc.assert(
    fc.property(
      createMs,
      text,
      fc.dictionary(text, text),
      fc.bigInt(0n, 2n ** 64n - 1n),
      (ms, type, labels, revision) => {
        const retry = { taskId: `q_${type}`, retryOf: "x".repeat(300), maxAttempts: 300, revision };
        const status = create(TaskStatusSchema, { type, labels, createTime: timestampFromMs(ms), ...retry });
        const fixed = readFixedFields(toBinary(TaskStatusSchema, status));
        expect(fixed.type).toBe(type);
        expect(fixed.createMs).toBe(ms);
        expect([...fixed.labels].toSorted()).toEqual(
          Object.entries(labels)
            .map(([key, value]) => labelText(key, value))
            .toSorted(),
        );
      },
    ),
  );
});

test("bytes that are no message are refused, and never hang", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const outcome = outcomeOf(() => readFixedFields(bytes));
      expect(outcome === "read" || outcome instanceof RangeError).toBe(true);
      expect(withoutResult(bytes).length).toBeLessThanOrEqual(bytes.length);
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  { state: TaskState.QUEUED, schedule: undefined },
  { state: TaskState.SCHEDULED, schedule: 1_763_800_500_000 },
] as const)("a fresh task is encoded as the domain would: state $state", ({ state, schedule }) => {
  const immutable = toBinary(
    TaskStatusSchema,
    create(TaskStatusSchema, {
      taskId: "q_x",
      queue: "q",
      type: "t",
      priority: Priority.HIGH,
      createTime: timestampFromMs(1_763_800_000_123),
      ...(schedule === undefined ? {} : { scheduleTime: timestampFromMs(schedule) }),
      labels: { a: "b" },
    }),
  );
  const key = { namespace: "ns", queue: "q", suffix: "x" };
  const task: FreshTask = { key, immutable, state, priority: Priority.HIGH };
  const encoded = encodeFreshStatus(task, readFixedFields(immutable));
  const expected = snapshotOfTask(taskFromFresh(task));
  expect(decodeStatus({ ...expected, bytes: encoded })).toEqual(decodeStatus(expected));
});

test("a result is left out and everything else stays, wherever the result stands", () => {
  const head = toBinary(TaskStatusSchema, create(TaskStatusSchema, { taskId: "q_x", labels: { a: "b" } }));
  const result = create(TaskStatusSchema, {
    result: { value: { case: "data", value: new Uint8Array(1_000) }, contentType: "text/plain" },
  });
  const tail = toBinary(TaskStatusSchema, create(TaskStatusSchema, { worker: "w", revision: 3n }));
  const whole = Buffer.concat([head, toBinary(TaskStatusSchema, result), tail, toBinary(TaskStatusSchema, result)]);
  expect(fromBinary(TaskStatusSchema, withoutResult(whole))).toEqual(
    fromBinary(TaskStatusSchema, Buffer.concat([head, tail])),
  );
  expect(withoutResult(head)).toBe(head);
});

function outcomeOf(work: () => unknown): unknown {
  try {
    work();
    return "read";
  } catch (error) {
    return error;
  }
}

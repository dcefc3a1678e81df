import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { RecordHeadSchema } from "../../../src/gen/taskwatch/storage/v1/record_pb.ts";
import { TaskState, TaskStatusSchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { nextStep } from "../../../src/task/delivery.ts";
import type { Task } from "../../../src/task/task.ts";

const { RUNNING, RETRYING, CANCELLING, SUCCEEDED, FAILED, CANCELLED, EXPIRED } = TaskState;

function record(state: TaskState, head: { jobSequence?: bigint; jobDelivery?: number; retryMs?: bigint } = {}): Task {
  return {
    key: { namespace: "n", queue: "q", suffix: "s" },
    revision: 40,
    head: create(RecordHeadSchema, { state, ...head }),
    immutable: new Uint8Array(0),
    mutable: create(TaskStatusSchema),
  };
}

const at = (nowMs: number, createMs = 0) => ({ nowMs, createMs });
const job = { jobSequence: 7, jobDelivery: 1, expectedRevision: 0 };

test("the job of a fresh task is claimed", () => {
  expect(nextStep(job, undefined, at(0))).toBe("claim");
});

test("a retry whose record is no longer kept is dropped", () => {
  expect(nextStep({ ...job, expectedRevision: 40 }, undefined, at(0))).toBe("drop");
});

test.each([SUCCEEDED, FAILED, CANCELLED, EXPIRED])("the job of a task that has ended (%i) is dropped", (state) => {
  expect(nextStep({ ...job, jobDelivery: 9 }, record(state, { jobSequence: 7n, jobDelivery: 1 }), at(0))).toBe("drop");
});

test.each([RUNNING, CANCELLING])(
  "a later delivery of the very job that runs (%i) proves that its lease is lost",
  (state) => {
    const held = record(state, { jobSequence: 7n, jobDelivery: 2 });
    expect(nextStep({ ...job, jobDelivery: 3 }, held, at(0))).toBe("takeover");
  },
);

test("the same delivery count proves nothing: the consumer was made anew", () => {
  expect(nextStep({ ...job, jobDelivery: 2 }, record(RUNNING, { jobSequence: 7n, jobDelivery: 2 }), at(0))).toBe(
    "hold",
  );
});

test("another job of a running task proves nothing, however often it was delivered", () => {
  expect(nextStep({ ...job, jobDelivery: 9 }, record(RUNNING, { jobSequence: 6n, jobDelivery: 1 }), at(0))).toBe(
    "hold",
  );
});

test("the job that ends a backoff is claimed, whatever our clock says", () => {
  const waiting = record(RETRYING, { jobSequence: 3n, retryMs: 10_000n });
  expect(nextStep({ ...job, expectedRevision: 40 }, waiting, at(9_000))).toBe("claim");
});

test("a job that is delivered again before the backoff is over sees to the message that ends it", () => {
  const waiting = record(RETRYING, { jobSequence: 7n, retryMs: 10_000n });
  expect(nextStep({ ...job, jobDelivery: 2 }, waiting, at(9_000))).toBe("delay");
});

test("once the backoff is over, any job of the task may start it", () => {
  const waiting = record(RETRYING, { jobSequence: 7n, retryMs: 10_000n });
  expect(nextStep({ ...job, jobSequence: 99 }, waiting, at(10_000))).toBe("claim");
});

const ended = (head: { expireMs: bigint }, endMs: number): Task => {
  const task = record(SUCCEEDED);
  return { ...task, head: { ...task.head, ...head }, mutable: { ...task.mutable, endTime: timestampFromMs(endMs) } };
};

test("what is left of an earlier task under the same id makes way for a task that was accepted after its end", () => {
  expect(nextStep(job, ended({ expireMs: 2_000n }, 1_000), at(2_500, 2_400))).toBe("renew");
});

test("an old job of a task that has ended does not run again, however long ago that was", () => {
  expect(nextStep(job, ended({ expireMs: 2_000n }, 1_000), at(9_999_999, 900))).toBe("drop");
});

test("as long as a status is kept, nothing takes its place", () => {
  expect(nextStep(job, ended({ expireMs: 2_000n }, 1_000), at(1_900, 1_800))).toBe("drop");
});

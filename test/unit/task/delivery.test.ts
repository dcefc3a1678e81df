import { create } from "@bufbuild/protobuf";
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

const job = { jobSequence: 7, jobDelivery: 1, expectedRevision: 0 };

test("the job of a fresh task is claimed", () => {
  expect(nextStep(job, undefined, 0)).toBe("claim");
});

test("a retry whose record is no longer kept is dropped", () => {
  expect(nextStep({ ...job, expectedRevision: 40 }, undefined, 0)).toBe("drop");
});

test.each([SUCCEEDED, FAILED, CANCELLED, EXPIRED])("the job of a task that has ended (%i) is dropped", (state) => {
  expect(nextStep({ ...job, jobDelivery: 9 }, record(state, { jobSequence: 7n, jobDelivery: 1 }), 0)).toBe("drop");
});

test.each([RUNNING, CANCELLING])(
  "a later delivery of the very job that runs (%i) proves that its lease is lost",
  (state) => {
    const held = record(state, { jobSequence: 7n, jobDelivery: 2 });
    expect(nextStep({ ...job, jobDelivery: 3 }, held, 0)).toBe("takeover");
  },
);

test("the same delivery count proves nothing: the consumer was made anew", () => {
  expect(nextStep({ ...job, jobDelivery: 2 }, record(RUNNING, { jobSequence: 7n, jobDelivery: 2 }), 0)).toBe("hold");
});

test("another job of a running task proves nothing, however often it was delivered", () => {
  expect(nextStep({ ...job, jobDelivery: 9 }, record(RUNNING, { jobSequence: 6n, jobDelivery: 1 }), 0)).toBe("hold");
});

test("the job that ends a backoff is claimed, whatever our clock says", () => {
  const waiting = record(RETRYING, { jobSequence: 3n, retryMs: 10_000n });
  expect(nextStep({ ...job, expectedRevision: 40 }, waiting, 9_000)).toBe("claim");
});

test("a job that is delivered again before the backoff is over sees to the message that ends it", () => {
  const waiting = record(RETRYING, { jobSequence: 7n, retryMs: 10_000n });
  expect(nextStep({ ...job, jobDelivery: 2 }, waiting, 9_000)).toBe("delay");
});

test("once the backoff is over, any job of the task may start it", () => {
  const waiting = record(RETRYING, { jobSequence: 7n, retryMs: 10_000n });
  expect(nextStep({ ...job, jobSequence: 99 }, waiting, 10_000)).toBe("claim");
});

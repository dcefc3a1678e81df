import { create, fromBinary } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { JobSchema } from "../../../src/gen/taskwatch/storage/v1/record_pb.ts";
import {
  Attempt_Outcome,
  ContentSchema,
  ProgressSchema,
  TaskState,
  TaskStatusSchema,
  Wait_Reason,
} from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { SubmitTaskRequestSchema } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import {
  attemptError,
  cancel,
  claim,
  type Draft,
  expire,
  fail,
  heartbeat,
  lingerMs,
  listedAttempts,
  reportProgress,
  requestCancel,
  retry,
  succeed,
} from "../../../src/task/lifecycle.ts";
import { submissionFromRequest } from "../../../src/task/submission.ts";
import { createTaskIds } from "../../../src/task/task-id.ts";
import { decodeStatus, snapshotOfTask, type Task, taskFromFresh } from "../../../src/task/task.ts";

const startMs = 1_700_000_000_000;
const ids = createTaskIds(new Uint8Array(32));

function fresh(delayMs?: number, state?: typeof TaskState.QUEUED): Task {
  const request = create(SubmitTaskRequestSchema, { queue: "q", type: "t", labels: { a: "1" } });
  if (delayMs !== undefined) request.start = { case: "scheduleTime", value: timestampFromMs(startMs + delayMs) };
  const submission = submissionFromRequest(request, { ids, namespace: "n", nowMs: startMs, settings: undefined });
  return taskFromFresh({ ...submission.task, state: state ?? submission.task.state }, submission.job);
}

let revision = 0;
function written({ from, head, mutable }: Draft): Task {
  revision += 1;
  return { key: from.key, revision, head, immutable: from.immutable, mutable };
}

function claimed(task: Task, nowMs: number, jobDelivery = 1): Task {
  return written(claim(task, { worker: "w", attemptToken: 5n, jobSequence: 9, jobDelivery, leaseMs: 30_000, nowMs }));
}

const broken = attemptError("BROKEN", "it broke", true);

test("a fresh task waits for a worker and shows what it was submitted with", () => {
  const status = decodeStatus(snapshotOfTask(fresh()));
  expect(status).toMatchObject({ queue: "q", type: "t", state: TaskState.QUEUED, labels: { a: "1" }, maxAttempts: 3 });
  expect(status.wait?.reason).toBe(Wait_Reason.WORKER);
  expect(status.revision).toBe(0n);
});

test("a delayed task says until when it waits", () => {
  const status = decodeStatus(snapshotOfTask(fresh(60_000)));
  expect(status.state).toBe(TaskState.SCHEDULED);
  expect(status.wait?.until).toEqual(timestampFromMs(startMs + 60_000));
});

test("a claim starts attempt 1, books the time in the queue and keeps what was fixed at submit", () => {
  const status = decodeStatus(snapshotOfTask(claimed(fresh(), startMs + 250)));
  expect(status).toMatchObject({ state: TaskState.RUNNING, attempt: 1, worker: "w", type: "t", labels: { a: "1" } });
  expect(status.attempts).toHaveLength(1);
  expect(status.wait).toBeUndefined();
  expect(durationMs(status.timeLedger!.queued!)).toBe(250);
  expect(timestampMs(status.leaseExpireTime!)).toBe(startMs + 30_250);
});

test("a delayed task is queued only from its schedule time on", () => {
  const status = decodeStatus(snapshotOfTask(claimed(fresh(60_000, TaskState.QUEUED), startMs + 60_010)));
  expect(durationMs(status.timeLedger!.queued!)).toBe(10);
});

test("success ends the attempt and the task, and says until when it is kept", () => {
  const result = create(ContentSchema, { value: { case: "data", value: new Uint8Array([1]) } });
  const draft = succeed(claimed(fresh(), startMs), { result, nowMs: startMs + 100 });
  expect(draft.ttlMs).toBe(86_400_000 + lingerMs);
  const status = decodeStatus(snapshotOfTask(written(draft)));
  expect(status.state).toBe(TaskState.SUCCEEDED);
  expect(Buffer.from([1]).equals(status.result?.value.value as Uint8Array)).toBe(true);
  expect(status.attempts[0]?.outcome).toBe(Attempt_Outcome.SUCCEEDED);
  expect(timestampMs(status.expireTime!)).toBe(startMs + 100 + 86_400_000);
  expect(durationMs(status.timeLedger!.running!)).toBe(100);
});

test("a heartbeat moves the lease and is no change to watchers; progress is", () => {
  const running = claimed(fresh(), startMs);
  const alive = written(heartbeat(running, { leaseMs: 30_000, nowMs: startMs + 10_000 }));
  expect(alive.head.change).toBe(running.head.change);
  expect(timestampMs(alive.mutable.leaseExpireTime!)).toBe(startMs + 40_000);
  const progress = create(ProgressSchema, { done: 1, total: 2 });
  const moved = written(reportProgress(alive, { progress, leaseMs: 30_000, nowMs: startMs + 11_000 }));
  expect(moved.head.change).toBe(running.head.change + 1);
  expect(moved.mutable.progress?.done).toBe(1);
});

test("a retry says why and until when, and the next claim books the backoff and clears both", () => {
  const waiting = written(
    retry(claimed(fresh(), startMs), { error: broken, retryMs: startMs + 3_000, nowMs: startMs + 1_000 }),
  );
  const status = decodeStatus(snapshotOfTask(waiting));
  expect(status).toMatchObject({ state: TaskState.RETRYING, error: { code: "BROKEN" } });
  expect(status.wait).toMatchObject({ reason: Wait_Reason.BACKOFF, until: timestampFromMs(startMs + 3_000) });
  const again = decodeStatus(snapshotOfTask(claimed(waiting, startMs + 3_005)));
  expect(again).toMatchObject({ state: TaskState.RUNNING, attempt: 2 });
  expect(again.error).toBeUndefined();
  expect(again.wait).toBeUndefined();
  expect(durationMs(again.timeLedger!.backoff!)).toBe(2_000);
  expect(durationMs(again.timeLedger!.queued!)).toBe(5);
  expect(again.attempts.map(({ outcome }) => outcome)).toEqual([Attempt_Outcome.FAILED, Attempt_Outcome.UNSPECIFIED]);
});

test("a takeover closes the lost attempt and starts the next", () => {
  const status = decodeStatus(snapshotOfTask(claimed(claimed(fresh(), startMs), startMs + 40_000, 2)));
  expect(status.attempt).toBe(2);
  expect(status.attempts[0]).toMatchObject({ outcome: Attempt_Outcome.LOST, error: { code: "LEASE_LOST" } });
});

test("only the last attempts are listed, numbered as they were", () => {
  let task = claimed(fresh(), startMs);
  for (let attempt = 2; attempt <= listedAttempts + 3; attempt += 1) task = claimed(task, startMs + attempt, attempt);
  expect(task.mutable.attempts.map(({ number }) => number)).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
});

test("a waiting task is cancelled at once, a running one is asked to stop", () => {
  const by = { requestedBy: "ann", reason: "not needed" };
  const waiting = cancel(fresh(), { writer: "api", nowMs: startMs + 5, request: by });
  expect(waiting.mutable).toMatchObject({ state: TaskState.CANCELLED, cancellation: by });
  const asked = written(requestCancel(claimed(fresh(), startMs), { ...by, graceMs: 1_000, nowMs: startMs + 5 }));
  expect(asked.mutable).toMatchObject({ state: TaskState.CANCELLING, cancellation: by });
  const stopped = cancel(asked, { writer: "attempt", nowMs: startMs + 6 });
  expect(stopped.mutable).toMatchObject({ state: TaskState.CANCELLED, cancellation: by });
  expect(stopped.mutable.attempts[0]?.outcome).toBe(Attempt_Outcome.CANCELLED);
});

test("a task that succeeds before it sees the cancellation keeps both truths", () => {
  const asked = written(
    requestCancel(claimed(fresh(), startMs), { requestedBy: "ann", reason: "", graceMs: 0, nowMs: startMs }),
  );
  const done = succeed(asked, { result: undefined, nowMs: startMs + 1 });
  expect(done.mutable).toMatchObject({ state: TaskState.SUCCEEDED, cancellation: { requestedBy: "ann" } });
});

test("the deadline ends a waiting task and a running one", () => {
  expect(expire(fresh(), { writer: "claim", nowMs: startMs }).mutable.error?.code).toBe("DEADLINE_EXCEEDED");
  const running = expire(claimed(fresh(), startMs), { writer: "attempt", nowMs: startMs + 1 });
  expect(running.mutable.attempts[0]?.outcome).toBe(Attempt_Outcome.EXPIRED);
});

test("nothing can be made of a task that has ended", () => {
  const done = written(succeed(claimed(fresh(), startMs), { result: undefined, nowMs: startMs }));
  expect(() => claimed(done, startMs)).toThrow("SUCCEEDED must not become RUNNING");
  expect(() => fail(done, { writer: "attempt", error: broken, nowMs: startMs })).toThrow("must not become FAILED");
  expect(() => cancel(done, { writer: "api", nowMs: startMs })).toThrow("must not become CANCELLED");
});

test("a draft leaves the task it was made from as it was", () => {
  const running = claimed(fresh(), startMs);
  const before = snapshotOfTask(running).bytes;
  retry(running, { error: broken, retryMs: startMs + 1, nowMs: startMs });
  succeed(running, { result: undefined, nowMs: startMs });
  expect(snapshotOfTask(running).bytes).toEqual(before);
});

test("the immutable part and the mutable part set no field in common", () => {
  const task = claimed(fresh(), startMs);
  const fixed = fromBinary(TaskStatusSchema, task.immutable);
  const set = (status: object) =>
    Object.entries(status)
      .filter(([name, value]) => {
        if (name.startsWith("$") || value === undefined || value === "" || value === 0 || value === 0n) return false;
        return typeof value !== "object" || Object.keys(value as object).length > 0;
      })
      .map(([name]) => name);
  expect(set(fixed).filter((name) => set(task.mutable).includes(name))).toEqual([]);
});

test("the retention of the job is the retention of the record", () => {
  const submission = submissionFromRequest(
    create(SubmitTaskRequestSchema, { queue: "q", type: "t", retention: { seconds: 90n, nanos: 0 } }),
    { ids, namespace: "n", nowMs: startMs, settings: undefined },
  );
  expect(create(JobSchema, submission.job).retention?.seconds).toBe(90n);
  const done = cancel(taskFromFresh(submission.task, submission.job), { writer: "api", nowMs: startMs });
  expect(Number(done.head.expireMs)).toBe(startMs + 90_000);
  expect(done.ttlMs).toBe(90_000 + lingerMs);
});

test("the record of a cancelled task is stored for longer than any message of the task may still wait", () => {
  const inAMonth = cancel(fresh(30 * 86_400_000), { writer: "api", nowMs: startMs });
  expect(inAMonth.ttlMs).toBe(30 * 86_400_000 + lingerMs);
  expect(Number(inAMonth.head.expireMs)).toBe(startMs + 86_400_000);
});

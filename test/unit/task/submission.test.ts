import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { QueueSettingsSchema } from "../../../src/gen/taskwatch/v1/queue_service_pb.ts";
import { Priority, TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { SubmitTaskRequestSchema } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { TaskError } from "../../../src/task/errors.ts";
import { maxPayloadBytes, type Submission, submissionFromRequest } from "../../../src/task/submission.ts";
import { createTaskIds } from "../../../src/task/task-id.ts";

const nowMs = 1_700_000_000_000;
const ids = createTaskIds(new Uint8Array(32));

function submission(
  request: MessageInitShape<typeof SubmitTaskRequestSchema>,
  settings?: MessageInitShape<typeof QueueSettingsSchema>,
): Submission {
  return submissionFromRequest(create(SubmitTaskRequestSchema, { queue: "q", type: "t", ...request }), {
    ids,
    namespace: "n",
    nowMs,
    settings: settings === undefined ? undefined : create(QueueSettingsSchema, settings),
  });
}

test("without a request_id every submission is a task of its own", () => {
  expect(submission({}).task.key).not.toEqual(submission({}).task.key);
  expect(submission({}).repeatable).toBe(false);
});

test("with a request_id the id is a function of it", () => {
  expect(submission({ requestId: "r" }).task.key).toEqual(submission({ requestId: "r", type: "other" }).task.key);
});

test("the same content has the same fingerprint, whatever the order of its maps", () => {
  const json = (value: Record<string, number>) => ({
    value: {
      case: "json" as const,
      value: {
        kind: {
          case: "structValue" as const,
          value: {
            fields: Object.fromEntries(
              Object.entries(value).map(([name, number]) => [
                name,
                { kind: { case: "numberValue" as const, value: number } },
              ]),
            ),
          },
        },
      },
    },
  });
  const one = submission({ requestId: "r", labels: { a: "1", b: "2" }, payload: json({ x: 1, y: 2 }) });
  const same = submission({ requestId: "r", labels: { b: "2", a: "1" }, payload: json({ y: 2, x: 1 }) });
  const other = submission({ requestId: "r", labels: { a: "1", b: "2" }, payload: json({ x: 1, y: 3 }) });
  expect(same.job.fingerprint).toEqual(one.job.fingerprint);
  expect(other.job.fingerprint).not.toEqual(one.job.fingerprint);
});

test("a start in the past or at once is queued, one in the future is scheduled", () => {
  expect(submission({}).scheduleMs).toBeUndefined();
  expect(submission({ start: { case: "delay", value: durationFromMs(0) } }).scheduleMs).toBeUndefined();
  expect(submission({ start: { case: "scheduleTime", value: timestampFromMs(nowMs - 1) } }).task.state).toBe(
    TaskState.QUEUED,
  );
  const delayed = submission({ start: { case: "delay", value: durationFromMs(1_500) } });
  expect(delayed.scheduleMs).toBe(nowMs + 1_500);
  expect(delayed.task.state).toBe(TaskState.SCHEDULED);
});

test("what the request leaves open comes from the queue, and then from the defaults", () => {
  const plain = submission({}).job;
  expect(durationMs(plain.timeout!)).toBe(3_600_000);
  expect(durationMs(plain.retention!)).toBe(86_400_000);
  const settings = {
    timeout: durationFromMs(5_000),
    retention: durationFromMs(60_000),
    retryPolicy: { maxAttempts: 9 },
  };
  const queued = submission({ retention: durationFromMs(120_000) }, settings).job;
  expect(durationMs(queued.timeout!)).toBe(5_000);
  expect(durationMs(queued.retention!)).toBe(120_000);
  expect(queued.retryPolicy?.maxAttempts).toBe(9);
});

test("no priority is normal priority", () => {
  expect(submission({}).task.priority).toBe(Priority.NORMAL);
  expect(submission({ priority: Priority.HIGH }).task.priority).toBe(Priority.HIGH);
});

test("a payload of the largest size is accepted, one byte more is refused by name", () => {
  const payload = (bytes: number) => ({ value: { case: "data" as const, value: new Uint8Array(bytes) } });
  expect(submission({ payload: payload(maxPayloadBytes) }).job.payload).toBeDefined();
  const tooLarge = () => submission({ payload: payload(maxPayloadBytes + 1) });
  expect(tooLarge).toThrow(TaskError);
  expect(tooLarge).toThrow(/^payload: must be at most 524288 bytes/);
});

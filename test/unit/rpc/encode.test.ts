import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { TaskState, TaskStatusSchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import {
  BatchGetStatusResponseSchema,
  BatchGetStatusResultSchema,
  BookmarkEventSchema,
  CancelTaskResponseSchema,
  GetStatusResponseSchema,
  GoingAwayEventSchema,
  ListTasksResponseSchema,
  RemovedEventSchema,
  StatusEventSchema,
  SubmitTaskResponseSchema,
  SubmitTasksResponseSchema,
  SubmitTasksResultSchema,
  WaitTaskResponseSchema,
  type WatchStatusResponse,
  WatchStatusResponseSchema,
} from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import type { Submitted, WatchEvent } from "../../../src/operations/operations.ts";
import {
  encodeBatchGetStatusResponse,
  encodeListTasksResponse,
  encodeStatusResponse,
  encodeSubmitTaskResponse,
  encodeSubmitTasksResponse,
  encodeWaitTaskResponse,
  encodeWatchEvent,
} from "../../../src/rpc/answers/encode.ts";
import { itemErrorFrom } from "../../../src/rpc/answers/errors.ts";
import { maxMessageBytes } from "../../../src/rpc/limits.ts";
import { TaskError } from "../../../src/task/errors.ts";
import { decodeStatus, hasEnded, type StatusSnapshot } from "../../../src/task/task.ts";

const text = fc.string({ unit: "binary", maxLength: 300 });
const count = fc.oneof(fc.constant(0), fc.nat(), fc.maxSafeNat());
const state = fc.constantFrom(TaskState.QUEUED, TaskState.RUNNING, TaskState.SUCCEEDED);

const snapshots = fc
  .record({ worker: text, retryOf: text, labels: fc.dictionary(text, text, { maxKeys: 3 }), state, revision: count })
  .map(({ revision, ...fields }): StatusSnapshot => {
    // As records are: what was fixed at submit, then the rest.
    const immutable = toBinary(TaskStatusSchema, create(TaskStatusSchema, { taskId: "q_1", retryOf: fields.retryOf }));
    const mutable = toBinary(TaskStatusSchema, create(TaskStatusSchema, { ...fields, retryOf: "" }));
    return {
      key: { namespace: "default", queue: "q", suffix: "1" },
      revision,
      state: fields.state,
      change: 3,
      expireMs: 0,
      bytes: Buffer.concat([immutable, mutable]),
    };
  });
const errors = fc.record({ message: text }).map(({ message }) => new TaskError("TASK_NOT_FOUND", message));
const submissions = fc.record({ status: snapshots, resumeToken: text, duplicate: fc.boolean() });

/** What the library makes of a message that was encoded by hand. */
function reencoded(desc: DescMessage, bytes: Buffer): Buffer {
  return Buffer.from(toBinary(desc, fromBinary(desc, bytes)));
}

/** What the library makes of the message that was meant. */
function encoded<Desc extends DescMessage>(desc: Desc, message: MessageInitShape<Desc>): Buffer {
  return Buffer.from(toBinary(desc, create(desc, message)));
}

function submitted({ status, resumeToken, duplicate }: Submitted) {
  return create(SubmitTaskResponseSchema, { status: decodeStatus(status), resumeToken, duplicate });
}

describe("what is framed around stored bytes decodes to what was meant", () => {
  test("a status", () => {
    fc.assert(
      fc.property(snapshots, (snapshot) => {
        const status = decodeStatus(snapshot);
        const bytes = encodeStatusResponse(snapshot);
        expect(reencoded(GetStatusResponseSchema, bytes)).toEqual(encoded(GetStatusResponseSchema, { status }));
        expect(reencoded(CancelTaskResponseSchema, bytes)).toEqual(encoded(CancelTaskResponseSchema, { status }));
        expect(reencoded(WaitTaskResponseSchema, encodeWaitTaskResponse(snapshot))).toEqual(
          encoded(WaitTaskResponseSchema, { status, done: hasEnded(snapshot) }),
        );
      }),
    );
  });

  test("a submission", () => {
    fc.assert(
      fc.property(submissions, (submission) => {
        expect(reencoded(SubmitTaskResponseSchema, encodeSubmitTaskResponse(submission))).toEqual(
          encoded(SubmitTaskResponseSchema, submitted(submission)),
        );
      }),
    );
  });

  test("a batch of submissions", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(submissions, errors), { maxLength: 5 }), (results) => {
        const expected = results.map((result) =>
          result instanceof TaskError
            ? create(SubmitTasksResultSchema, { result: { case: "error", value: itemErrorFrom(result) } })
            : create(SubmitTasksResultSchema, { result: { case: "accepted", value: submitted(result) } }),
        );
        expect(reencoded(SubmitTasksResponseSchema, encodeSubmitTasksResponse(results))).toEqual(
          encoded(SubmitTasksResponseSchema, { results: expected }),
        );
      }),
    );
  });

  test("a batch of statuses", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(snapshots, errors), { maxLength: 5 }), (results) => {
        const expected = results.map((result) =>
          result instanceof TaskError
            ? create(BatchGetStatusResultSchema, { result: { case: "error", value: itemErrorFrom(result) } })
            : create(BatchGetStatusResultSchema, { result: { case: "status", value: decodeStatus(result) } }),
        );
        expect(reencoded(BatchGetStatusResponseSchema, encodeBatchGetStatusResponse(results))).toEqual(
          encoded(BatchGetStatusResponseSchema, { results: expected }),
        );
      }),
    );
  });

  test("a page of a list", () => {
    fc.assert(
      fc.property(fc.array(snapshots, { maxLength: 5 }), text, count, (statuses, nextPageToken, revision) => {
        const bytes = encodeListTasksResponse({ statuses, nextPageToken, revision });
        expect(reencoded(ListTasksResponseSchema, bytes)).toEqual(
          encoded(ListTasksResponseSchema, {
            statuses: statuses.map(decodeStatus),
            nextPageToken,
            revision: BigInt(revision),
          }),
        );
      }),
    );
  });

  test("every event of a watch", () => {
    const merged = fc.integer({ min: 0, max: 0xffff_ffff });
    const events: fc.Arbitrary<WatchEvent> = fc.oneof(
      fc.record({ kind: fc.constant("status"), status: snapshots, snapshot: fc.boolean(), merged, resumeToken: text }),
      fc.record({ kind: fc.constant("bookmark"), revision: count, resumeToken: text }),
      fc.record({ kind: fc.constant("removed"), taskId: text, reason: fc.constantFrom(1, 2, 3), resumeToken: text }),
      fc.record({
        kind: fc.constant("going_away"),
        reason: fc.constantFrom(1, 2),
        resumeDelayMs: merged,
        resumeToken: text,
      }),
    );
    fc.assert(
      fc.property(events, (event) => {
        expect(reencoded(WatchStatusResponseSchema, encodeWatchEvent(event))).toEqual(
          encoded(WatchStatusResponseSchema, { resumeToken: event.resumeToken, event: messageEvent(event) }),
        );
      }),
    );
  });
});

function messageEvent(event: WatchEvent): WatchStatusResponse["event"] {
  switch (event.kind) {
    case "status": {
      const { snapshot, merged } = event;
      const value = create(StatusEventSchema, { status: decodeStatus(event.status), snapshot, merged });
      return { case: "status", value };
    }
    case "bookmark":
      return { case: "bookmark", value: create(BookmarkEventSchema, { revision: BigInt(event.revision) }) };
    case "removed":
      return { case: "removed", value: create(RemovedEventSchema, { taskId: event.taskId, reason: event.reason }) };
    case "going_away": {
      const resumeDelay = durationFromMs(event.resumeDelayMs);
      return { case: "goingAway", value: create(GoingAwayEventSchema, { reason: event.reason, resumeDelay }) };
    }
  }
}

describe("a batch of statuses that does not fit into one message", () => {
  const sized = (bytes: number): StatusSnapshot => ({
    key: { namespace: "default", queue: "q", suffix: "1" },
    revision: 1,
    state: TaskState.RUNNING,
    change: 3,
    expireMs: 0,
    bytes: toBinary(TaskStatusSchema, create(TaskStatusSchema, { worker: "w".repeat(bytes) })),
  });

  test("is filled, and says of the others that they did not fit", () => {
    const bytes = encodeBatchGetStatusResponse(Array.from({ length: 1_000 }, () => sized(10_000)));
    expect(bytes.length).toBeLessThanOrEqual(maxMessageBytes);
    const { results } = fromBinary(BatchGetStatusResponseSchema, bytes);
    const found = results.filter(({ result }) => result.case === "status");
    expect(results).toHaveLength(1_000);
    expect(found.length).toBeGreaterThan(85);
    expect(results.at(-1)?.result).toMatchObject({ case: "error", value: { code: 8, reason: "RESPONSE_TOO_LARGE" } });
  });

  test("still brings small ones that come after a large one", () => {
    const bytes = encodeBatchGetStatusResponse([sized(maxMessageBytes), sized(10)]);
    const { results } = fromBinary(BatchGetStatusResponseSchema, bytes);
    expect(results.map(({ result }) => result.case)).toEqual(["error", "status"]);
  });
});

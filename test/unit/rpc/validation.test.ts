import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";

import {
  BatchGetStatusRequestSchema,
  ListTasksRequestSchema,
  type SubmitTaskRequest,
  SubmitTaskRequestSchema,
  SubmitTasksRequestSchema,
} from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { createRequestValidator } from "../../../src/rpc/validation.ts";
import { TaskError } from "../../../src/task/errors.ts";

const validator = createRequestValidator();
type Submission = Exclude<MessageInitShape<typeof SubmitTaskRequestSchema>, SubmitTaskRequest>;
const good: Submission = { queue: "demo", type: "sleep" };

function refusal(run: () => unknown): TaskError {
  try {
    run();
  } catch (error) {
    if (error instanceof TaskError) return error;
    throw error;
  }
  throw new Error("expected a refusal");
}

const submissionFields = (changes: Submission) =>
  refusal(() => validator.check(SubmitTaskRequestSchema, create(SubmitTaskRequestSchema, { ...good, ...changes })))
    .fields;

describe("a request", () => {
  test("that keeps all rules passes", () => {
    const request = create(SubmitTaskRequestSchema, {
      ...good,
      requestId: "0190c8a6-5b8e-7d3f-8000-000000000000",
      labels: { "team/a": "x" },
      deadline: timestampFromMs(Date.now() + 60_000),
      retryPolicy: { maxAttempts: 100, initialBackoff: { seconds: 1n }, maximumBackoff: { seconds: 1n } },
    });
    expect(() => validator.check(SubmitTaskRequestSchema, request)).not.toThrow();
  });

  test.each<[rule: string, field: string, changes: Submission]>([
    ["STRING_PATTERN", "queue", { queue: "a.b" }],
    ["UINT32_LTE", "retry_policy.max_attempts", { retryPolicy: { maxAttempts: 101 } }],
    ["STRING_PATTERN", "retry_policy.non_retryable_codes[1]", { retryPolicy: { nonRetryableCodes: ["A", "b"] } }],
    ["STRING_MAX_LEN", `labels["a"]`, { labels: { a: "v".repeat(129) } }],
    ["DURATION_GTE_LTE", "timeout", { timeout: { seconds: -1n } }],
    ["DOUBLE_FINITE", "retry_policy.multiplier", { retryPolicy: { multiplier: Number.POSITIVE_INFINITY } }],
    ["TIMESTAMP_GT_NOW", "deadline", { deadline: timestampFromMs(0) }],
    ["DEADLINE_TOO_FAR", "deadline", { deadline: timestampFromMs(Date.now() + 400 * 86_400_000) }],
    [
      "BACKOFF_ORDER",
      "retry_policy.maximum_backoff",
      { retryPolicy: { initialBackoff: { seconds: 2n }, maximumBackoff: { seconds: 1n } } },
    ],
  ])("that breaks %s at %s says so", (rule, field, changes) => {
    expect(submissionFields(changes)).toContainEqual({ rule, field, description: expect.stringMatching(/.+/) });
  });

  test("that breaks several rules names all of them", () => {
    const error = refusal(() => validator.check(SubmitTaskRequestSchema, create(SubmitTaskRequestSchema)));
    expect(error.fields.map(({ field }) => field)).toEqual(["queue", "type"]);
    expect(error.message).toMatch(/^queue: .* \(and 1 more\)$/);
  });

  test("of any other kind is held against its own rules", () => {
    const list = refusal(() =>
      validator.check(ListTasksRequestSchema, create(ListTasksRequestSchema, { pageSize: -1 })),
    );
    expect(list.fields).toMatchObject([{ field: "page_size", rule: "INT32_GTE" }]);
    const batch = refusal(() => validator.check(BatchGetStatusRequestSchema, create(BatchGetStatusRequestSchema)));
    expect(batch.fields).toMatchObject([{ field: "task_ids", rule: "REPEATED_MIN_ITEMS" }]);
  });
});

describe("a batch", () => {
  const batch = (...requests: Submission[]) => create(SubmitTasksRequestSchema, { requests });

  test("of good tasks refuses none", () => {
    expect(validator.checkBatch(batch(good, good)).size).toBe(0);
  });

  test("refuses bad tasks by their positions, in terms of the task", () => {
    const far = timestampFromMs(Date.now() + 400 * 86_400_000);
    const start = { case: "scheduleTime", value: far } as const;
    const refusals = validator.checkBatch(batch(good, { ...good, queue: "" }, good, { ...good, type: "", start }));
    expect([...refusals.keys()]).toEqual([1, 3]);
    expect(refusals.get(1)?.fields).toMatchObject([{ field: "queue" }]);
    expect(
      refusals
        .get(3)
        ?.fields.map(({ field }) => field)
        .toSorted(),
    ).toEqual(["schedule_time", "type"]);
  });

  test("is refused as a whole for what is wrong with the whole", () => {
    expect(refusal(() => validator.checkBatch(batch())).fields).toMatchObject([{ field: "requests" }]);
    const tooMany = batch(...Array.from({ length: 1_001 }, () => good));
    expect(refusal(() => validator.checkBatch(tooMany)).fields).toMatchObject([{ rule: "REPEATED_MAX_ITEMS" }]);
  });
});

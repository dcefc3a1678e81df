import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";

import { SubmitTaskRequestSchema } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { malformedFields } from "../../../src/rpc/well-formed.ts";

type Request = MessageInitShape<typeof SubmitTaskRequestSchema>;
const fieldsOf = (request: Request) =>
  malformedFields(create(SubmitTaskRequestSchema, request)).map(({ field }) => field);
const json = (kind: object) => ({ payload: { value: { case: "json", value: { kind } } } }) as Request;
const list = (...values: object[]) => ({ case: "listValue", value: { values: values.map((kind) => ({ kind })) } });

test("a request like any other is well formed", () => {
  const { payload } = json(list({ case: "nullValue", value: 0 }, { case: "numberValue", value: 1.5 }));
  const request: Request = {
    deadline: { seconds: 2_000_000_000n, nanos: 1 },
    start: { case: "delay", value: { seconds: 0n, nanos: 5 } },
    retryPolicy: { initialBackoff: { seconds: 1n } },
    labels: { a: "b" },
    payload: payload!,
  };
  expect(fieldsOf(request)).toEqual([]);
});

test.each<[string, Request, string]>([
  ["nanos of two seconds", { deadline: { seconds: 1n, nanos: 2_000_000_000 } }, "deadline"],
  ["negative nanos", { deadline: { seconds: 1n, nanos: -1 } }, "deadline"],
  ["a time before year 1", { start: { case: "scheduleTime", value: { seconds: -(2n ** 62n) } } }, "schedule_time"],
  ["a duration of two signs", { timeout: { seconds: 5n, nanos: -1 } }, "timeout"],
  ["a duration beyond 10,000 years", { retention: { seconds: 2n ** 60n } }, "retention"],
  [
    "a backoff of two signs",
    { retryPolicy: { maximumBackoff: { seconds: -1n, nanos: 1 } } },
    "retry_policy.maximum_backoff",
  ],
  ["a delay of too many nanos", { start: { case: "delay", value: { nanos: 1_000_000_000 } } }, "delay"],
  ["a number that is none", json({ case: "numberValue", value: Number.NaN }), "payload"],
  ["an infinite number in a list", json(list({ case: "numberValue", value: Number.POSITIVE_INFINITY })), "payload"],
  ["a value that is not set", json({ case: undefined }), "payload"],
])("%s is named", (_what, request, field) => {
  expect(fieldsOf(request)).toEqual([field]);
});

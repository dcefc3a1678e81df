import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { callJson } from "../support/json-call.ts";
import { useNatsServer } from "../support/nats-server.ts";
import { type Service, startService } from "../support/service.ts";

const server = useNatsServer();
let service: Service;

beforeAll(async () => {
  service = await startService(server.url);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

const call = (method: string, request: object | string) => callJson(service.httpUrl, method, request);
const good = { queue: "q", type: "t" };
const inAYear = new Date(Date.now() + 367 * 86_400_000).toISOString();

describe("a submission is refused by the name of the field", () => {
  test.each<[string, string, object]>([
    ["no queue", "queue", { queue: "" }],
    ["a dot in the queue", "queue", { queue: "a.b" }],
    ["a wildcard in the queue", "queue", { queue: "*" }],
    ["a full wildcard in the queue", "queue", { queue: ">" }],
    ["a space in the queue", "queue", { queue: "a b" }],
    ["a line break in the queue", "queue", { queue: "a\r\nb" }],
    ["a queue of 65 characters", "queue", { queue: "q".repeat(65) }],
    ["no type", "type", { type: "" }],
    ["a type that starts with a digit", "type", { type: "1st" }],
    ["a type of 65 characters", "type", { type: "t".repeat(65) }],
    ["a payload of more than 512 KiB", "payload", { payload: { data: Buffer.alloc(524_289).toString("base64") } }],
    ["a content type of 129 characters", "payload.content_type", { payload: { contentType: "c".repeat(129) } }],
    ["a request_id with a space", "request_id", { requestId: "a b" }],
    ["a request_id of 129 characters", "request_id", { requestId: "r".repeat(129) }],
    ["a priority that does not exist", "priority", { priority: 7 }],
    [
      "17 labels",
      "labels",
      { labels: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`l${index}`, ""])) },
    ],
    ["a label with a space in its key", `labels["a b"]`, { labels: { "a b": "1" } }],
    ["a label value of 129 characters", `labels["a"]`, { labels: { a: "v".repeat(129) } }],
    ["a negative delay", "delay", { delay: "-1s" }],
    ["a delay of more than a year", "delay", { delay: "31622401s" }],
    ["a schedule time of more than a year", "schedule_time", { scheduleTime: inAYear }],
    ["a deadline in the past", "deadline", { deadline: "2001-01-01T00:00:00Z" }],
    ["a deadline of more than a year", "deadline", { deadline: inAYear }],
    ["a negative timeout", "timeout", { timeout: "-1s" }],
    ["a timeout of nothing", "timeout", { timeout: "0s" }],
    ["a timeout of more than a week", "timeout", { timeout: "604801s" }],
    ["a retention of less than a minute", "retention", { retention: "59s" }],
    ["a retention of more than 90 days", "retention", { retention: "7776001s" }],
    ["101 attempts", "retry_policy.max_attempts", { retryPolicy: { maxAttempts: 101 } }],
    ["a negative backoff", "retry_policy.initial_backoff", { retryPolicy: { initialBackoff: "-1s" } }],
    ["a backoff of more than a day", "retry_policy.initial_backoff", { retryPolicy: { initialBackoff: "86401s" } }],
    [
      "a largest backoff of more than a week",
      "retry_policy.maximum_backoff",
      { retryPolicy: { maximumBackoff: "604801s" } },
    ],
    [
      "a largest backoff below the first",
      "retry_policy.maximum_backoff",
      { retryPolicy: { initialBackoff: "10s", maximumBackoff: "1s" } },
    ],
    ["a backoff that shrinks", "retry_policy.multiplier", { retryPolicy: { multiplier: 0.5 } }],
    ["a backoff that explodes", "retry_policy.multiplier", { retryPolicy: { multiplier: 11 } }],
    ["a multiplier that is no number", "retry_policy.multiplier", { retryPolicy: { multiplier: "NaN" } }],
    ["a jitter that does not exist", "retry_policy.jitter", { retryPolicy: { jitter: 9 } }],
    ["a code in lower case", "retry_policy.non_retryable_codes[0]", { retryPolicy: { nonRetryableCodes: ["nope"] } }],
  ])("%s: %s", async (_what, field, changes) => {
    const answer = await call("SubmitTask", { ...good, ...changes });
    expect(answer).toMatchObject({ code: "invalid_argument", reason: "REQUEST_INVALID", fields: [field] });
  });
});

describe("what is no request at all is refused", () => {
  test.each<[string, string]>([
    ["broken JSON", `{"queue": "q", "type"`],
    ["a field that does not exist", `{"queue": "q", "type": "t", "namespace": "other"}`],
    ["a number where a text belongs", `{"queue": 7, "type": "t"}`],
    ["a list", `[]`],
    ["a duration without its unit", `{"queue": "q", "type": "t", "delay": "5"}`],
    ["data that is not base 64", `{"queue": "q", "type": "t", "payload": {"data": "%%%"}}`],
  ])("%s", async (_what, body) => {
    expect(await call("SubmitTask", body)).toMatchObject({ code: "invalid_argument", reason: "REQUEST_INVALID" });
  });

  test("more than a mebibyte", async () => {
    const answer = await call("SubmitTask", { ...good, payload: { json: "x".repeat(1_100_000) } });
    expect(answer).toMatchObject({ code: "resource_exhausted", reason: "MESSAGE_TOO_LARGE" });
  });

  test("a method that does not exist", async () => {
    expect((await call("FlyToTheMoon", {})).code).toBe("unimplemented");
  });
});

describe("a batch", () => {
  test("of nothing is refused", async () => {
    const answer = await call("SubmitTasks", { requests: [] });
    expect(answer).toMatchObject({ code: "invalid_argument", reason: "REQUEST_INVALID", fields: ["requests"] });
  });

  test("of 1,001 is refused", async () => {
    const answer = await call("SubmitTasks", { requests: Array.from({ length: 1_001 }, () => good) });
    expect(answer).toMatchObject({ code: "invalid_argument", fields: ["requests"] });
  });

  test("with one bad task accepts the others, and says which is bad and why", async () => {
    const { body } = await call("SubmitTasks", { requests: [good, { ...good, queue: "a.b" }, good] });
    expect(body["results"]).toMatchObject([
      { accepted: { status: { state: "TASK_STATE_QUEUED" } } },
      { error: { code: 3, reason: "REQUEST_INVALID", field: "queue" } },
      { accepted: { status: { state: "TASK_STATE_QUEUED" } } },
    ]);
  });
});

describe("a task that cannot be found is not found, whatever its id looks like", () => {
  test.each([
    ["never made", "q_01ARZ3NDEKTSV4RRFFQ69G5FAV"],
    ["no id at all", "x"],
    ["wildcards", "*_>"],
    ["a path", "../../etc/passwd"],
    ["128 characters", "x".repeat(128)],
  ])("%s", async (_what, taskId) => {
    for (const method of ["GetStatus", "WaitTask", "CancelTask"]) {
      const answer = await call(method, { taskId });
      expect(answer).toMatchObject({ httpStatus: 404, code: "not_found", reason: "TASK_NOT_FOUND" });
    }
    const { body } = await call("BatchGetStatus", { taskIds: [taskId] });
    expect(body["results"]).toMatchObject([{ error: { code: 5, reason: "TASK_NOT_FOUND" } }]);
  });

  test("an id of nothing, or of too much, is refused by name", async () => {
    for (const taskId of ["", "x".repeat(129)]) {
      expect(await call("GetStatus", { taskId })).toMatchObject({ code: "invalid_argument", fields: ["task_id"] });
    }
  });
});

describe("other calls are refused by the name of the field", () => {
  test.each<[string, string, string, object]>([
    ["a page token that is none", "ListTasks", "page_token", { pageToken: "!!!" }],
    ["a page token that was made up", "ListTasks", "page_token", { pageToken: "CAESBHF1ZXVl" }],
    ["a negative page size", "ListTasks", "page_size", { pageSize: -1 }],
    ["a state that does not exist", "ListTasks", "selector.states[0]", { selector: { states: [42] } }],
    ["a wait of more than a minute", "WaitTask", "timeout", { taskId: "x", timeout: "61s" }],
    ["a negative wait", "WaitTask", "timeout", { taskId: "x", timeout: "-1s" }],
    ["a negative grace", "CancelTask", "grace", { taskId: "x", grace: "-1s" }],
    ["a grace of more than an hour", "CancelTask", "grace", { taskId: "x", grace: "3601s" }],
    ["a reason of 257 characters", "CancelTask", "reason", { taskId: "x", reason: "r".repeat(257) }],
  ])("%s: %s.%s", async (_what, method, field, request) => {
    const answer = await call(method, request);
    expect(answer).toMatchObject({ code: "invalid_argument", fields: [field] });
  });

  test("a page token of another list is refused", async () => {
    for (let index = 0; index < 3; index += 1) await call("SubmitTask", { ...good, queue: "pages" });
    const selector = { queues: ["pages"] };
    const { body } = await call("ListTasks", { selector, pageSize: 1 });
    const pageToken = String(body["nextPageToken"]);
    expect((await call("ListTasks", { selector, pageSize: 1, pageToken })).code).toBeUndefined();
    const other = await call("ListTasks", { selector: { queues: ["others"] }, pageToken });
    expect(other).toMatchObject({ code: "invalid_argument", reason: "PAGE_TOKEN_INVALID", fields: ["page_token"] });
  });
});

test("after all of it the service is well, and nothing but what was accepted is there", async () => {
  const ready = await fetch(`${service.adminUrl}/readyz`);
  expect(ready.status).toBe(200);
  const { body } = await call("ListTasks", { selector: { queues: ["q"] } });
  expect(body["statuses"]).toHaveLength(2);
});

describe("what is not there yet says so", () => {
  test.each<[string, object]>([
    ["RetryTask", { taskId: "x" }],
    ["DeleteTask", { taskId: "x" }],
  ])("%s", async (method, request) => {
    expect(await call(method, request)).toMatchObject({ code: "unimplemented", reason: "NOT_IMPLEMENTED" });
  });
});

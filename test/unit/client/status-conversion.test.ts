import { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type JsonValue, statusToJson, type TaskStatus } from "../../../src/client/index.ts";
import { statusFromMessage } from "../../../src/client/status/status-from-message.ts";
import { statusToMessage } from "../../../src/client/status/status-to-json.ts";
import { contentFromValue, valueFromContent } from "../../../src/client/submit/content.ts";
import { ContentSchema, TaskStatusSchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";

const states = [
  "UNSPECIFIED",
  "SCHEDULED",
  "QUEUED",
  "RUNNING",
  "RETRYING",
  "CANCELLING",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
  "EXPIRED",
] as const;

const text = fc.string({ minLength: 1, maxLength: 8 });
const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined });
const date = maybe(fc.date({ min: new Date(0), max: new Date("2200-01-01"), noInvalidDate: true }));
const ms = fc.integer({ min: 0, max: 1e9 });
const json = fc.jsonValue({ depthSize: "small", stringUnit: "grapheme" }) as fc.Arbitrary<JsonValue>;
const entries = fc.dictionary(text, text, { noNullPrototype: true });
const attemptError = maybe(fc.record({ code: text, message: fc.string(), retryable: fc.boolean(), details: entries }));

const status: fc.Arbitrary<TaskStatus> = fc.record({
  taskId: text,
  queue: text,
  type: text,
  state: fc.constantFrom(...states),
  priority: fc.constantFrom("LOW", "NORMAL", "HIGH"),
  attempt: fc.nat(),
  maxAttempts: fc.nat(),
  progress: maybe(
    fc.record({
      done: fc.double({ noNaN: true }),
      total: maybe(fc.integer({ min: 1 })),
      unit: fc.string(),
      message: fc.string(),
      fraction: maybe(fc.double({ min: 0, max: 1, noNaN: true })),
    }),
  ),
  result: maybe(fc.oneof(json, fc.uint8Array())),
  resultContentType: maybe(text),
  error: attemptError,
  wait: maybe(
    fc.record({
      reason: fc.constantFrom("UNSPECIFIED", "WORKER", "SCHEDULE", "BACKOFF", "PAUSED", "NO_WORKER"),
      until: date,
    }),
  ),
  cancellation: maybe(
    fc.record({ requestedBy: fc.string(), reason: fc.string(), requestedAt: date, graceMs: maybe(ms) }),
  ),
  attempts: fc.array(
    fc.record({
      number: fc.nat(),
      worker: text,
      startedAt: date,
      endedAt: date,
      outcome: maybe(fc.constantFrom("SUCCEEDED", "FAILED", "CANCELLED", "LOST", "EXPIRED")),
      error: attemptError,
    }),
    { maxLength: 3 },
  ),
  createdAt: date,
  scheduledAt: date,
  startedAt: date,
  updatedAt: date,
  endedAt: date,
  expiresAt: date,
  leaseExpiresAt: date,
  deadline: date,
  timeLedger: maybe(fc.record({ queuedMs: ms, runningMs: ms, backoffMs: ms })),
  labels: entries,
  retryOf: maybe(text),
  worker: maybe(text),
  traceparent: maybe(text),
  revision: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
});

describe("a status", () => {
  it("comes back the same from the wire, and its JSON is that of the message", () => {
    fc.assert(
      fc.property(status, (original) => {
        const bytes = toBinary(TaskStatusSchema, statusToMessage(original));
        const message = fromBinary(TaskStatusSchema, bytes);
        expect(statusFromMessage(message)).toEqual(original);
        expect(statusToJson(original)).toEqual(toJson(TaskStatusSchema, message));
      }),
      { numRuns: 300 },
    );
  });

  it("shows what this version does not know as unspecified", () => {
    const known = statusFromMessage(
      create(TaskStatusSchema, {
        state: 77 as never,
        priority: 77 as never,
        wait: { reason: 77 as never },
        attempts: [{ outcome: 77 as never }, { outcome: 0 }],
      }),
    );
    expect(known).toMatchObject({ state: "UNSPECIFIED", priority: "NORMAL", wait: { reason: "UNSPECIFIED" } });
    expect(known.attempts.map(({ outcome }) => outcome)).toEqual(["UNSPECIFIED", undefined]);
  });
});

function contentOf(value: unknown, contentType?: string) {
  return contentFromValue({ value, contentType, field: "payload" });
}

describe("content", () => {
  it("is written as the schema's own JSON reading would write it, and read back the same", () => {
    fc.assert(
      fc.property(json, (value) => {
        const content = contentOf(value);
        const expected = create(ContentSchema, { value: { case: "json", value: fromJson(ValueSchema, value) } });
        expect(toBinary(ContentSchema, content)).toEqual(toBinary(ContentSchema, expected));
        const read = valueFromContent(fromBinary(ContentSchema, toBinary(ContentSchema, content)));
        expect(JSON.stringify(read)).toBe(JSON.stringify(value));
      }),
    );
  });

  it("reads objects as JSON.stringify does", () => {
    class Order {
      readonly id = 7;
      readonly placed = new Date(0);
      readonly note = undefined;
      readonly lines = [1, undefined];
    }
    const content = contentOf(new Order());
    expect(valueFromContent(content)).toEqual({ id: 7, placed: "1970-01-01T00:00:00.000Z", lines: [1, null] });
  });

  it("keeps a property that is called __proto__", () => {
    const value: unknown = JSON.parse('{"__proto__": {"polluted": true}}');
    const read = valueFromContent(contentOf(value)) as object;
    expect(JSON.stringify(read)).toBe('{"__proto__":{"polluted":true}}');
    expect("polluted" in read).toBe(false);
  });

  it("tells nothing from null, and bytes from JSON", () => {
    expect(valueFromContent(contentOf(undefined, "text/plain"))).toBeUndefined();
    expect(valueFromContent(contentOf(null))).toBeNull();
    const bytes = Buffer.from([1, 2, 3]);
    expect(valueFromContent(contentOf(bytes))).toEqual(new Uint8Array([1, 2, 3]));
  });
});

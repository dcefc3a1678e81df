import { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { ContentSchema, TaskStatusSchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import {
  contentFromResult,
  maxResultBytes,
  maxResultDepth,
  payloadFromContent,
} from "../../../src/worker/attempt/content.ts";

/** What a reader of the stored result would see. */
function stored(result: unknown): unknown {
  const content = contentFromResult(result);
  const value = content === undefined ? undefined : fromBinary(ContentSchema, toBinary(ContentSchema, content)).value;
  return value?.case === "json" ? toJson(ValueSchema, value.value) : value?.value;
}

function nested(levels: number, wrap: (inner: unknown) => unknown): unknown {
  return levels === 0 ? "end" : wrap(nested(levels - 1, wrap));
}

test.each([
  [{ a: [1, -0.5, "x", true, null, { b: {} }], "": [] }],
  ["text"],
  [0],
  [false],
  [null],
  [[]],
  [JSON.parse('{"__proto__": 1, "constructor": 2}') as unknown],
])("JSON goes through unchanged: %j", (value) => {
  expect(JSON.stringify(stored(value))).toBe(JSON.stringify(value));
});

test("what JSON.stringify leaves out or replaces is left out and replaced the same way", () => {
  const value = { gone: undefined, list: [undefined], date: new Date(0), own: { toJSON: () => "mine" } };
  expect(stored(value)).toEqual(JSON.parse(JSON.stringify(value)));
});

test("a text that is not well-formed is mended", () => {
  expect(stored("a\ud800b")).toBe("a\ufffdb");
});

test.each<[string, unknown, string]>([
  ["a bigint", { a: [1n] }, "result.a[0]: a bigint is not a JSON value"],
  ["a function", { f: () => 1 }, "result.f: a function is not a JSON value"],
  ["a symbol", Symbol("s"), "result: a symbol is not a JSON value"],
  ["an infinite number", [Infinity], "result[0]: Infinity is not a JSON number"],
  ["a map", new Map([[1, 2]]), "result: [object Map] is not a JSON value"],
  ["an error", { error: new Error("no") }, "result.error: [object Error] is not a JSON value"],
  ["bytes within a value", [new Uint8Array(1)], "result[0]: [object Uint8Array] is not a JSON value"],
])("%s is refused, saying where it is", (_what, value, message) => {
  expect(() => contentFromResult(value)).toThrow(expect.objectContaining({ code: "INVALID_RESULT", message }));
});

test.each([
  ["objects", (inner: unknown) => ({ inner })],
  ["lists", (inner: unknown) => [inner]],
])("%s may be nested so deep that every reader can follow, and no deeper", (_what, wrap) => {
  const deepest = contentFromResult(nested(maxResultDepth, wrap));
  const status = toBinary(TaskStatusSchema, create(TaskStatusSchema, { result: deepest! }));
  // Protobuf gives up at 100 levels of messages; a watch wraps the status in two more.
  expect(() => fromBinary(TaskStatusSchema, status, { recursionLimit: 98 })).not.toThrow();
  expect(() => contentFromResult(nested(maxResultDepth + 1, wrap))).toThrow("nested deeper than 30 levels");
});

test("the size that counts is the encoded one, and the largest is allowed", () => {
  expect(contentFromResult(new Uint8Array(maxResultBytes))).toBeDefined();
  expect(contentFromResult("x".repeat(maxResultBytes - 20))).toBeDefined();
  const tooLarge = expect.objectContaining({ code: "RESULT_TOO_LARGE" }) as Error;
  expect(() => contentFromResult(new Uint8Array(maxResultBytes + 1))).toThrow(tooLarge);
  expect(() => contentFromResult("é".repeat(maxResultBytes / 2))).toThrow(tooLarge);
  expect(() => contentFromResult(Array(100_000).fill(1))).toThrow(tooLarge);
});

test("a result far beyond the limit is refused without being read to its end", () => {
  let reads = 0;
  const endless = Array.from({ length: 200_000 }, () => null);
  Object.defineProperty(endless, endless.length - 1, {
    get: () => {
      reads += 1;
      return null;
    },
  });
  expect(() => contentFromResult(endless)).toThrow(expect.objectContaining({ code: "RESULT_TOO_LARGE" }) as Error);
  expect(reads).toBe(0);
});

test("a payload is what was submitted", () => {
  const json = { a: [1, null] };
  const content = create(ContentSchema, { value: { case: "json", value: fromJson(ValueSchema, json) } });
  expect(payloadFromContent(content)).toEqual(json);
  const data = new Uint8Array([1]);
  expect(payloadFromContent(create(ContentSchema, { value: { case: "data", value: data } }))).toBe(data);
  expect(payloadFromContent(undefined)).toBeUndefined();
  expect(payloadFromContent(create(ContentSchema))).toBeUndefined();
});

test("a payload that is no JSON value is refused", () => {
  const content = create(ContentSchema, { value: { case: "json", value: create(ValueSchema) } });
  expect(() => payloadFromContent(content)).toThrow("google.protobuf.Value");
});

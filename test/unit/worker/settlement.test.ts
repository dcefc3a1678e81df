import { expect, test } from "vitest";

import { type Settlement, settlementFromReturn, settlementFromThrow } from "../../../src/worker/attempt/settlement.ts";
import { CancelledError, FatalError, RetryableError } from "../../../src/worker/index.ts";

function errorOf(settlement: Settlement) {
  if (settlement.kind !== "failed") throw new Error(`expected a failure, got ${settlement.kind}`);
  return settlement.error;
}

test.each<[string, unknown, object]>([
  ["an error", new Error("no"), { code: "HANDLER_ERROR", message: "no", retryable: true }],
  ["an error with a name", new TypeError("no"), { code: "HANDLER_ERROR", message: "TypeError: no" }],
  ["a retryable error", new RetryableError("BUSY", "wait"), { code: "BUSY", message: "wait", retryable: true }],
  ["a fatal error", new FatalError("GONE", "gone"), { code: "GONE", message: "gone", retryable: false }],
  ["a code in the wrong case", new FatalError("not-found", "x"), { code: "NOT_FOUND" }],
  ["a code that is none", new FatalError("…", "x"), { code: "HANDLER_ERROR", retryable: false }],
  ["a number", 7, { code: "HANDLER_ERROR", message: "threw 7" }],
  ["a plain object", { status: 500 }, { code: "HANDLER_ERROR", message: 'threw {"status":500}' }],
  ["lines", new Error("one\n  two\r\nthree"), { message: "one two three" }],
])("of %s the status shows what it says", (_what, thrown, expected) => {
  expect(errorOf(settlementFromThrow(thrown))).toMatchObject(expected);
});

test.each<[string, unknown]>([
  ["an error whose message throws", Object.defineProperty(new Error(), "message", { get: fail })],
  ["an object without a prototype that throws", Object.assign(Object.create(null) as object, { toJSON: fail })],
  ["a fatal error whose details throw", new FatalError("A", "b", { details: { a: { toString: fail } as never } })],
  ["a fatal error whose code is no text", new FatalError(undefined as never, "b")],
])("%s does no harm", (_what, thrown) => {
  expect(errorOf(settlementFromThrow(thrown))).toMatchObject({
    code: expect.stringMatching(/^[A-Z_]+$/) as string,
    retryable: !(thrown instanceof FatalError),
  });
});

function fail(): never {
  throw new Error("hands off");
}

test("a message is cut at 2 KiB, not in the middle of a character", () => {
  const { message } = errorOf(settlementFromThrow(new Error("é".repeat(5_000))));
  expect(Buffer.byteLength(message)).toBeLessThanOrEqual(2_048);
  expect(message).toMatch(/^é{1020,}…$/);
});

test("of details, 16 entries and 4 KiB are kept", () => {
  const many = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`k${index}`, "v"]));
  expect(Object.keys(errorOf(settlementFromThrow(new FatalError("A", "b", { details: many }))).details)).toHaveLength(
    16,
  );
  const large = { a: "x".repeat(4_000), b: "y".repeat(200), c: "z" };
  expect(Object.keys(errorOf(settlementFromThrow(new FatalError("A", "b", { details: large }))).details)).toEqual([
    "a",
    "c",
  ]);
});

test.each([
  [1_500, 1_500],
  [-5, 0],
  [Number.NaN, undefined],
  [1e15, 7 * 86_400_000],
])("a wait of %d ms before the next attempt becomes %s", (retryDelayMs, expected) => {
  const settlement = settlementFromThrow(new RetryableError("A", "b", { retryDelayMs }));
  expect(settlement).toMatchObject({ kind: "failed" });
  expect("retryDelayMs" in settlement ? settlement.retryDelayMs : undefined).toBe(expected);
});

test("a cancellation is neither success nor failure", () => {
  expect(settlementFromThrow(new CancelledError("enough"))).toEqual({ kind: "cancelled", message: "enough" });
});

test("a result that cannot be read is a failure of the handler", () => {
  const result = Object.defineProperty({}, "a", { get: fail, enumerable: true });
  expect(errorOf(settlementFromReturn(result))).toMatchObject({
    code: "INVALID_RESULT",
    message: "result could not be read: hands off",
    retryable: false,
  });
});

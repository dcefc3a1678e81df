import { expect, test } from "vitest";

import { createBoundedLabel } from "../../../src/telemetry/bounded-label.ts";

test("the first values are told apart and the ones beyond the limit are not", () => {
  const label = createBoundedLabel(2);
  expect(["a", "b", "c", "a", "b"].map((value) => label.admit(value))).toEqual(["a", "b", "other", "a", "b"]);
});

test("looking a value up makes no room for it", () => {
  const label = createBoundedLabel(1);
  expect(label.known("a")).toBe("other");
  expect(label.admit("b")).toBe("b");
  expect(label.known("b")).toBe("b");
});

import { expect, test } from "vitest";

import { HandlerRegistry } from "../../../src/worker/handler/handler-registry.ts";

test("no type names what every object has", () => {
  const registry = new HandlerRegistry({ t: () => {} });
  expect(registry.types).toEqual(["t"]);
  for (const type of ["constructor", "toString", "__proto__"]) expect(registry.find(type)).toBeUndefined();
});

test("a type without a handler is new once, and only so many are", () => {
  const registry = new HandlerRegistry({});
  expect(registry.noteStranger("a")).toBe(true);
  expect(registry.noteStranger("a")).toBe(false);
  const noted = Array.from({ length: 1_000 }, (_, index) => registry.noteStranger(`s${index}`));
  expect(noted.filter(Boolean)).toHaveLength(99);
});

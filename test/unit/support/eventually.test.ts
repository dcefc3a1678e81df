import { expect, test } from "vitest";

import { eventually } from "../../support/eventually.ts";

test("gives what the probe gave once it is there", async () => {
  let looks = 0;
  expect(await eventually("a third look", () => (++looks === 3 ? looks : undefined))).toBe(3);
  expect(await eventually("zero", () => 0)).toBe(0);
});

test("takes an exception for a not yet, and names what it waited for and the last of them when time is up", async () => {
  const probe = (): never => {
    throw new Error("no such task");
  };
  await expect(eventually("the end", probe, { timeoutMs: 50, intervalMs: 5 })).rejects.toThrow(
    "waited 50 ms for the end; last: no such task",
  );
});

test("does not wait for ever for a probe that does not answer", async () => {
  const probe = (): Promise<boolean> => new Promise(() => {});
  await expect(eventually("an answer", probe, { timeoutMs: 50 })).rejects.toThrow("the probe did not answer");
});

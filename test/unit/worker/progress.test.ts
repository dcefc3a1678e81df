import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ProgressReporter } from "../../../src/worker/attempt/progress.ts";
import type { ProgressUpdate } from "../../../src/worker/index.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A reporter whose reports are taken as soon as they are due. */
function reporter() {
  const shown: [number, ReturnType<ProgressReporter["take"]>][] = [];
  const startMs = performance.now();
  const progress = new ProgressReporter({
    intervalMs: 200,
    onDue: () => void shown.push([performance.now() - startMs, progress.take()]),
  });
  return { progress, shown, dones: () => shown.map(([ms, one]) => [ms, one?.done]) };
}

test("the first report is due at once, the latest at the end of the interval, and nothing when there is nothing", () => {
  const { progress, dones } = reporter();
  progress.report({ done: 1 });
  progress.report({ done: 2 });
  vi.advanceTimersByTime(100);
  progress.report({ done: 3 });
  vi.advanceTimersByTime(1_000);
  progress.report({ done: 3 });
  progress.report({ done: 4 });
  expect(dones()).toEqual([
    [0, 1],
    [200, 3],
    [1_100, 4],
  ]);
});

test("ten thousand reports a second are five writes a second", () => {
  const { progress, shown } = reporter();
  for (let ms = 0; ms < 1_000; ms += 1) {
    for (let call = 0; call < 10; call += 1) progress.report({ done: ms * 10 + call });
    vi.advanceTimersByTime(1);
  }
  expect(shown.length).toBeGreaterThanOrEqual(5);
  expect(shown.length).toBeLessThanOrEqual(6);
});

test("what is left out stays, and the fraction follows", () => {
  const { progress, shown } = reporter();
  progress.report({ done: 1, total: 4, unit: "files" });
  vi.advanceTimersByTime(200);
  progress.report({ message: "half way", done: 2 });
  vi.advanceTimersByTime(200);
  progress.report({ done: 5 });
  vi.advanceTimersByTime(200);
  progress.report({ total: 0 });
  expect(shown.map(([, one]) => one)).toMatchObject([
    { done: 1, total: 4, unit: "files", message: "", fraction: 0.25 },
    { done: 2, total: 4, unit: "files", message: "half way", fraction: 0.5 },
    { done: 5, total: 4, fraction: 1 },
    { done: 5, total: 0 },
  ]);
  expect(shown.at(-1)?.[1]?.fraction).toBeUndefined();
});

test("to have begun is worth a report, once", () => {
  const { progress, dones } = reporter();
  progress.report({ done: 0 });
  vi.advanceTimersByTime(1_000);
  progress.report({ done: 0 });
  vi.advanceTimersByTime(1_000);
  expect(dones()).toEqual([[0, 0]]);
});

test.each<[string, unknown]>([
  ["numbers that are none", { done: Number.NaN, total: Infinity }],
  ["negative numbers", { done: -1, total: -2 }],
  ["the wrong types", { done: "1", total: null, unit: 5, message: {} }],
  ["nothing", undefined],
  [
    "a getter that throws",
    {
      get done() {
        throw new Error("hands off");
      },
    },
  ],
])("%s leave progress as it was", (_what, update) => {
  const { progress } = reporter();
  progress.report({ done: 1, total: 2 });
  progress.report(update as ProgressUpdate);
  progress.restore();
  expect(progress.take()).toMatchObject({ done: 1, total: 2, unit: "", message: "" });
});

test("texts are cut to their limits, on one line", () => {
  const { progress, shown } = reporter();
  progress.report({ unit: "u".repeat(100), message: `${"😀".repeat(200)}\n${"x".repeat(100)}` });
  const { unit, message } = shown[0]![1]!;
  expect(unit).toHaveLength(32);
  expect(Array.from(message)).toHaveLength(256);
  expect(message).not.toContain("\n");
});

test("what could not be written is due again, and after the end nothing is", () => {
  const { progress, shown } = reporter();
  progress.report({ done: 1 });
  progress.restore();
  progress.report({ done: 2 });
  progress.close();
  vi.advanceTimersByTime(1_000);
  progress.report({ done: 3 });
  vi.advanceTimersByTime(1_000);
  expect(shown).toHaveLength(1);
  expect(progress.take(), "the last one can still be had").toMatchObject({ done: 2 });
});

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { TimerWheel } from "../../../src/operations/timer-wheel.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("calls back once, not before its time and no more than a tick late", () => {
  const wheel = new TimerWheel();
  const calls: number[] = [];
  const startMs = performance.now();
  for (const delayMs of [0, 1, 24, 25, 26, 100, 1_000, 3_600_000]) {
    wheel.schedule(delayMs, () => calls.push(performance.now() - startMs - delayMs));
  }
  vi.advanceTimersByTime(3_700_000);
  expect(calls).toHaveLength(8);
  for (const lateMs of calls) expect(lateMs >= 0 && lateMs <= 50).toBe(true);
});

test("does not call back what was cancelled, also in the very moment", () => {
  const wheel = new TimerWheel();
  const calls: string[] = [];
  const late = wheel.schedule(50, () => calls.push("cancelled before"));
  const first = wheel.schedule(100, () => {
    calls.push("first");
    second.cancel();
  });
  const second = wheel.schedule(100, () => calls.push("cancelled in the moment"));
  late.cancel();
  vi.advanceTimersByTime(1_000);
  expect(calls).toEqual(["first"]);
  first.cancel();
  expect(wheel.size).toBe(0);
});

test("goes on with what is set from a callback", () => {
  const wheel = new TimerWheel();
  let rounds = 0;
  const again = (): void => {
    rounds += 1;
    if (rounds < 5) wheel.schedule(0, again);
  };
  wheel.schedule(0, again);
  vi.advanceTimersByTime(500);
  expect(rounds).toBe(5);
});

test("runs one interval, and only while something is due", () => {
  const wheel = new TimerWheel();
  expect(vi.getTimerCount()).toBe(0);
  const timers = Array.from({ length: 1_000 }, (_, index) => wheel.schedule(index, () => undefined));
  expect([vi.getTimerCount(), wheel.size]).toEqual([1, 1_000]);
  for (const timer of timers) timer.cancel();
  expect([vi.getTimerCount(), wheel.size]).toEqual([0, 0]);
});

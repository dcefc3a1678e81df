import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { RevisionWaiters } from "../../../src/view/revision-waiters.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("lets go in the order of revisions those whose revision has come", async () => {
  const waiters = new RevisionWaiters();
  const gone: number[] = [];
  for (const revision of [30, 10, 20, 10]) {
    void waiters.wait(revision, { timeoutMs: 1_000 }).then(() => gone.push(revision));
  }
  waiters.release(20);
  await Promise.resolve();
  await vi.waitFor(() => expect(gone).toEqual([10, 10, 20]));
  expect(waiters.size).toBe(1);
  waiters.release(30);
  expect([waiters.size, vi.getTimerCount()]).toEqual([0, 0]);
});

test("fails with STORE_UNAVAILABLE when time is up, and others go on waiting", async () => {
  const waiters = new RevisionWaiters();
  const short = waiters.wait(5, { timeoutMs: 500 });
  const long = waiters.wait(5, { timeoutMs: 5_000 });
  const failure = short.catch((error: unknown) => error);
  vi.advanceTimersByTime(700);
  expect(await failure).toMatchObject({ reason: "STORE_UNAVAILABLE" });
  waiters.release(5);
  await long;
  expect(vi.getTimerCount()).toBe(0);
});

test("gives up with the reason of the signal, and leaves no listener", async () => {
  const waiters = new RevisionWaiters();
  const controller = new AbortController();
  const removed = vi.spyOn(controller.signal, "removeEventListener");
  const reason = new Error("client has gone");
  const failure = waiters.wait(5, { signal: controller.signal, timeoutMs: 1_000 }).catch((error: unknown) => error);
  controller.abort(reason);
  expect(await failure).toBe(reason);
  expect(removed).toHaveBeenCalledTimes(1);
  await expect(waiters.wait(5, { signal: controller.signal, timeoutMs: 1_000 })).rejects.toBe(reason);
  expect([waiters.size, vi.getTimerCount()]).toEqual([0, 0]);
});

test("admits only so many", async () => {
  const waiters = new RevisionWaiters();
  const waiting = Array.from({ length: 10_000 }, () => waiters.wait(1, { timeoutMs: 1_000 }));
  await expect(waiters.wait(1, { timeoutMs: 1_000 })).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
  waiters.release(1);
  await Promise.all(waiting);
});

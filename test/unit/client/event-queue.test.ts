import { describe, expect, it } from "vitest";

import { EventQueue } from "../../../src/client/watch/event-queue.ts";

const ended = { value: undefined, done: true };

describe("EventQueue", () => {
  it("hands out in order what was pushed before and after it was asked for", async () => {
    const queue = new EventQueue<number>(10, () => {});
    queue.push(1);
    const results = [queue.next(), queue.next(), queue.next()];
    queue.push(2);
    queue.push(3);
    expect((await Promise.all(results)).map(({ value }) => value)).toEqual([1, 2, 3]);
  });

  it("is full at its capacity, takes what comes late, and says once when half of it is free", async () => {
    let room = 0;
    const queue = new EventQueue<number>(4, () => (room += 1));
    for (let item = 1; item <= 6; item += 1) queue.push(item);
    expect(queue.full).toBe(true);
    for (let item = 1; item <= 3; item += 1) expect((await queue.next()).value).toBe(item);
    expect([queue.full, room]).toEqual([true, 0]);
    await queue.next();
    expect([queue.full, room]).toEqual([false, 1]);
    await queue.next();
    await queue.next();
    expect(room).toBe(1);
  });

  it("ends after what is in it, with its error once", async () => {
    const queue = new EventQueue<number>(4, () => {});
    queue.push(1);
    queue.end(new Error("broken"));
    queue.end(new Error("twice"));
    queue.push(2);
    expect((await queue.next()).value).toBe(1);
    await expect(queue.next()).rejects.toThrow("broken");
    expect(await queue.next()).toEqual(ended);
  });

  it("ends at once when it is aborted, whatever is in it", async () => {
    const queue = new EventQueue<number>(4, () => {});
    queue.push(1);
    queue.abort(new Error("enough"));
    await expect(queue.next()).rejects.toThrow("enough");
    expect(await queue.next()).toEqual(ended);
  });

  it("tells the error to the first who waits, and the end to all", async () => {
    const queue = new EventQueue<number>(4, () => {});
    const [first, second] = [queue.next(), queue.next()];
    queue.end(new Error("broken"));
    await expect(first).rejects.toThrow("broken");
    expect(await second).toEqual(ended);
  });
});

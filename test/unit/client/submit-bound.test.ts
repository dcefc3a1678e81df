import { setImmediate } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { createTaskwatchClient, TaskwatchError } from "../../../src/client/index.ts";
import { eventually } from "../../support/eventually.ts";
import { failureOf } from "./failure-of.ts";
import { HeldClock } from "./held-clock.ts";
import { Failure, type Script, startScriptedService } from "./scripted-service.ts";

const full = { code: "RESOURCE_EXHAUSTED", reason: "CLIENT_QUEUE_FULL" };
/** Two of them are more than `batch` allows. */
const submission = { queue: "q", type: "t", payload: new Uint8Array(600) };
const batch = { maxQueuedBytes: 1_000 };
const accepted = { status: { taskId: "q_1" } };

/** A service that is unavailable until it is told otherwise. */
function outage(): { over: boolean; script: Script } {
  const state = {
    over: false,
    script: {
      submitTask: () => {
        if (!state.over) throw new Failure(14, { reason: "STORE_UNAVAILABLE" });
        return accepted;
      },
    },
  };
  return state;
}

describe("the bound of what a client holds", () => {
  it("holds for a task that is under way", async () => {
    const answer = Promise.withResolvers<undefined>();
    await using service = await startScriptedService({
      submitTask: async () => {
        await answer.promise;
        return accepted;
      },
    });
    await using client = createTaskwatchClient({ address: service.address, batch });
    const first = client.submit(submission);
    await eventually("the call", () => service.calls.length === 1);
    expect(await failureOf(client.submit(submission))).toMatchObject(full);
    answer.resolve(undefined);
    await first;
    await client.submit(submission);
  });

  it("holds for a task that waits to be sent again, once, however often that happens", async () => {
    const clock = new HeldClock();
    const state = outage();
    await using service = await startScriptedService(state.script);
    await using client = createTaskwatchClient({ address: service.address, clock, batch });
    const first = client.submit(submission);
    for (const pauseMs of [50, 100, 200]) {
      await eventually(`a pause of ${pauseMs} ms`, () => clock.pendingMs[0] === pauseMs);
      expect(await failureOf(client.submit(submission))).toMatchObject(full);
      clock.advance(pauseMs);
    }
    await eventually("one more pause", () => clock.pendingMs[0] === 400);
    state.over = true;
    clock.advance(400);
    await first;
    await client.submit(submission);
  });

  it("gives room again when a task fails", async () => {
    const state = outage();
    await using service = await startScriptedService(state.script);
    await using client = createTaskwatchClient({ address: service.address, retryBudgetMs: 0, batch });
    expect(await failureOf(client.submit(submission))).toMatchObject({ code: "UNAVAILABLE" });
    state.over = true;
    await client.submit(submission);
  });

  it("gives room again when a task is given up by its signal, and only once", async () => {
    const clock = new HeldClock();
    const state = outage();
    await using service = await startScriptedService(state.script);
    await using client = createTaskwatchClient({ address: service.address, clock, batch });
    const controller = new AbortController();
    const first = client.submit(submission, { signal: controller.signal });
    await eventually("a pause", () => clock.pendingMs[0]);
    controller.abort(new Error("enough"));
    await expect(first).rejects.toThrow("enough");

    const second = client.submit(submission);
    await eventually("a second pause", () => clock.pendingMs.length === 2);
    state.over = true;
    clock.advance(50);
    await second;
    // Had the first made room twice, there would be place for two now.
    const third = client.submit(submission);
    expect(await failureOf(client.submit(submission))).toMatchObject(full);
    await third;
    expect(service.calls).toHaveLength(4);
  });

  it("refuses what is beyond it while the service is away", async () => {
    const service = await startScriptedService({});
    await using _service = service;
    service.kill();
    const client = createTaskwatchClient({ address: service.address, batch: { maxQueuedBytes: 1024 * 1024 } });
    await using _client = client;
    const payload = new Uint8Array(100_000);
    let refused = 0;
    const others: unknown[] = [];
    for (let number = 0; number < 400; number += 1) {
      client.submit({ queue: "q", type: "t", payload }).catch((error: unknown) => {
        if (error instanceof TaskwatchError && error.reason === "CLIENT_QUEUE_FULL") refused += 1;
        else others.push(error);
      });
      // Lets calls begin and fail between the submits.
      if (number % 20 === 0) await setImmediate();
    }
    await eventually("the refusals", () => refused === 390);
    client.close();
    await eventually("the others", () => others.length === 10);
    for (const error of others) expect(error).toMatchObject({ reason: "CLIENT_CLOSED" });
  });
});

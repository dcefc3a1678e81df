import { describe, expect, it } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { failureOf } from "./failure-of.ts";
import { Failure } from "./scripted-service.ts";
import { begin, bookmark, ended, inShort, type Message, nextOf, nextState, setUp, status } from "./watched-service.ts";

const { QUEUED, RUNNING, SUCCEEDED } = TaskState;
const unavailable = 14;

function results(taskIds: readonly string[], state: TaskState) {
  return {
    results: taskIds.map((taskId) => ({
      result: { case: "status" as const, value: { taskId, state, revision: 9n } },
    })),
  };
}

describe("a watch that is cut", () => {
  it("continues after the last token when the connection breaks", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted });
    const first = nextState(watch);
    (await test.service.stream(1)).send(status(RUNNING, 5, { token: "five" }));
    expect(await first).toBe("q_1 RUNNING 5");
    const second = nextState(watch);
    test.service.kill();
    expect(await test.interruption(1)).toMatchObject({ failures: 1, delayMs: 100, error: { reason: undefined } });
    await test.service.restart();
    test.clock.advance(100);
    // The channel may still be about to reconnect when the first attempt is made.
    const stream = await eventually("the second stream", () => {
      test.clock.advance(1_000);
      return test.service.streams[1];
    });
    expect(stream.request.resumeToken).toBe("five");
    stream.send(status(SUCCEEDED, 6));
    stream.end();
    expect(await second).toBe("q_1 SUCCEEDED 6");
    expect(await watch.next()).toEqual(ended);
  });

  it("takes an end without a reason for a cut", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted });
    const first = nextState(watch);
    const stream = await test.service.stream(1);
    stream.send(status(RUNNING, 5, { token: "five" }));
    await first;
    stream.end();
    expect(await test.interruption(1)).toEqual({ error: undefined, failures: 1, delayMs: 100 });
    test.clock.advance(100);
    expect((await test.service.stream(2)).request.resumeToken).toBe("five");
  });

  it.each([
    ["a proxy that ends the stream", new Failure(2, { message: "upstream reset" }), 100],
    ["a stream that was reset", new Failure(13, { message: "RST_STREAM" }), 100],
    ["a reader that was too slow", new Failure(8, { reason: "SLOW_READER" }), 100],
    ["a service that asks for time", new Failure(unavailable, { reason: "DRAINING", retryDelayMs: 700 }), 800],
  ])("continues after %s", async (_what, failure, delayMs) => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted });
    begin(watch);
    const stream = await test.service.stream(1);
    stream.send(status(RUNNING, 5, { token: "five" }));
    stream.end(failure);
    expect(await test.interruption(1)).toMatchObject({ failures: 1, delayMs });
    test.clock.advance(delayMs);
    expect((await test.service.stream(2)).request.resumeToken).toBe("five");
  });

  it.each([
    [5, "TASK_NOT_FOUND", "NOT_FOUND"],
    [16, "CREDENTIAL_INVALID", "UNAUTHENTICATED"],
    [7, "ROLE_MISSING", "PERMISSION_DENIED"],
    [8, "WATCH_LIMIT_REACHED", "RESOURCE_EXHAUSTED"],
    [13, "INTERNAL", "INTERNAL"],
    [3, "RESUME_TOKEN_INVALID", "INVALID_ARGUMENT"],
    [12, "NOT_IMPLEMENTED", "UNIMPLEMENTED"],
  ])("fails for good after status %i with %s", async (number, reason, code) => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { resumeToken: "mine" });
    const failure = failureOf(watch.next());
    (await test.service.stream(1)).end(new Failure(number, { reason, metadata: { task_id: "q_1" } }));
    expect(await failure).toMatchObject({ code, reason, taskId: "q_1" });
    expect(await watch.next()).toEqual(ended);
    expect(test.clock.pendingMs).toEqual([]);
  });

  it("waits twice as long after each cut, and at most 10 s", async () => {
    await using test = await setUp();
    test.clock.chance = 0.999_999;
    begin(test.client.watch("q_1", { onInterrupted: test.onInterrupted }));
    const delays: number[] = [];
    for (let cut = 1; cut <= 8; cut += 1) {
      const stream = await test.service.stream(cut);
      stream.send(bookmark(`mark-${cut}`));
      stream.end(new Failure(unavailable));
      const { delayMs } = await test.interruption(cut);
      delays.push(Math.round(delayMs));
      test.clock.advance(delayMs);
    }
    expect(delays).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  });

  it("starts over with short waits after 60 s of health", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted, bookmarks: true });
    let mark: Promise<unknown> = nextOf(watch);
    for (const [cut, livedMs, failures] of [
      [1, 0, 1],
      [2, 59_999, 2],
      [3, 60_000, 1],
    ] as const) {
      const stream = await test.service.stream(cut);
      for (let restMs = livedMs; ; restMs -= 30_000) {
        stream.send(bookmark(`mark-${cut}-${restMs}`));
        await mark;
        mark = nextOf(watch);
        if (restMs <= 0) break;
        test.clock.advance(Math.min(restMs, 30_000));
      }
      stream.end(new Failure(unavailable));
      expect(await test.interruption(cut)).toMatchObject({ failures });
      test.clock.advance(10_000);
    }
    await Promise.all([watch.return(), mark.catch(() => {})]);
  });

  it("waits as long as a service asks for that goes away", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted });
    begin(watch);
    const stream = await test.service.stream(1);
    stream.send(status(RUNNING, 5));
    stream.send({
      resumeToken: "away",
      event: { case: "goingAway", value: { reason: 1, resumeDelay: { seconds: 3n, nanos: 0 } } },
    });
    stream.end();
    expect(await test.interruption(1)).toEqual({ error: undefined, failures: 1, delayMs: 3_000 });
    test.clock.advance(2_999);
    expect(test.service.streams).toHaveLength(1);
    test.clock.advance(1);
    expect((await test.service.stream(2)).request.resumeToken).toBe("away");
  });

  it("does not hurry a service that goes away again and again", async () => {
    await using test = await setUp();
    begin(test.client.watch("q_1", { onInterrupted: test.onInterrupted }));
    const delays: number[] = [];
    for (let cut = 1; cut <= 4; cut += 1) {
      const stream = await test.service.stream(cut);
      stream.send({ resumeToken: "away", event: { case: "goingAway", value: { reason: 1 } } });
      stream.end();
      const { delayMs } = await test.interruption(cut);
      delays.push(delayMs);
      test.clock.advance(delayMs);
    }
    expect(delays).toEqual([0, 200, 400, 800]);
  });

  it("leaves a service that announced the end and does not end", async () => {
    await using test = await setUp();
    begin(test.client.watch("q_1", { onInterrupted: test.onInterrupted, bookmarks: true }));
    const stream = await test.service.stream(1);
    stream.send({ resumeToken: "away", event: { case: "goingAway", value: { reason: 2 } } });
    await eventually("the shorter patience", () => test.clock.pendingMs[0] === 1_000);
    test.clock.advance(1_000);
    await stream.cancelled;
    expect(await test.interruption(1)).toMatchObject({ delayMs: 0 });
  });

  it("takes 35 s of silence for a dead connection", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted, bookmarks: true });
    const mark = nextOf(watch);
    const stream = await test.service.stream(1);
    test.clock.advance(30_000);
    stream.send(bookmark("mark"));
    await mark;
    test.clock.advance(34_999);
    expect(test.interruptions).toEqual([]);
    test.clock.advance(1);
    expect(test.interruptions[0]).toMatchObject({ failures: 1, error: { code: "UNAVAILABLE" } });
    await stream.cancelled;
    test.clock.advance(100);
    expect((await test.service.stream(2)).request.resumeToken).toBe("mark");
  });

  it.each([
    [15, "STORE_REPLACED", "DATA_LOSS"],
    [11, "WINDOW_PASSED", "OUT_OF_RANGE"],
    [3, "RESUME_TOKEN_INVALID", "INVALID_ARGUMENT"],
  ])("starts over when its own token is refused with status %i", async (number, reason, code) => {
    await using test = await setUp();
    const watch = test.client.watch(["q_1", "q_2"], { onInterrupted: test.onInterrupted });
    const first = nextState(watch);
    const stream = await test.service.stream(1);
    stream.send(status(SUCCEEDED, 50));
    expect(await first).toBe("q_1 SUCCEEDED 50");
    stream.end(new Failure(number, { reason }));
    expect(await nextOf(watch)).toMatchObject({ kind: "reset", error: { code, reason } });
    test.clock.advance(100);
    const again = await test.service.stream(2);
    expect(again.request.resumeToken).toBe("");
    again.send(status(RUNNING, 3, { snapshot: true }));
    expect(await nextState(watch)).toBe("q_1 RUNNING 3");
  });

  it("fails when a fresh start meets lost data", async () => {
    await using test = await setUp();
    const failure = failureOf(test.client.watch("q_1").next());
    (await test.service.stream(1)).end(new Failure(15, { reason: "STORE_REPLACED" }));
    expect(await failure).toMatchObject({ code: "DATA_LOSS" });
  });

  it("drops what it told before", async () => {
    await using test = await setUp();
    const watch = test.client.watch(["q_1", "q_2"]);
    const first = nextState(watch);
    const stream = await test.service.stream(1);
    for (const message of [
      status(TaskState.SCHEDULED, 0),
      status(TaskState.SCHEDULED, 0),
      status(QUEUED, 0),
      status(TaskState.SCHEDULED, 0),
      status(RUNNING, 5),
      status(RUNNING, 5),
      status(QUEUED, 4),
      status(RUNNING, 6),
      status(SUCCEEDED, 7),
      status(SUCCEEDED, 7),
      status(RUNNING, 8),
      { event: { case: "removed", value: { taskId: "q_1", reason: 1 } } } satisfies Message,
      status(SUCCEEDED, 2, { id: "q_2" }),
    ]) {
      stream.send(message);
    }
    const told = [await first];
    for await (const event of watch) told.push(inShort(event));
    expect(told).toEqual([
      "q_1 SCHEDULED 0",
      "q_1 QUEUED 0",
      "q_1 RUNNING 5",
      "q_1 RUNNING 6",
      "q_1 SUCCEEDED 7",
      "q_2 SUCCEEDED 2",
    ]);
  });

  it("reads the statuses by themselves from the third fruitless attempt on", async () => {
    let reads = 0;
    await using test = await setUp({
      batchGetStatus: ({ taskIds }) => {
        reads += 1;
        return {
          results: taskIds.map((taskId) => ({
            result: {
              case: "status",
              value: { taskId, state: reads === 1 ? RUNNING : SUCCEEDED, revision: BigInt(4 + reads) },
            },
          })),
        };
      },
    });
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted });
    const first = nextState(watch);
    const fail = async (attempt: number) => {
      (await test.service.stream(attempt)).end(new Failure(unavailable, { reason: "NOT_READY" }));
      await test.interruption(attempt);
      test.clock.advance(10_000);
    };
    await fail(1);
    await fail(2);
    await test.service.stream(3);
    expect(reads).toBe(0);
    await fail(3);
    expect(await first).toBe("q_1 RUNNING 5");
    await fail(4);
    expect(await nextOf(watch)).toMatchObject({ snapshot: true, status: { state: "SUCCEEDED", revision: 6 } });
    expect(await watch.next()).toEqual(ended);
  });

  it("ends without a word when all ended before the caller's token", async () => {
    await using test = await setUp({ batchGetStatus: ({ taskIds }) => results(taskIds, SUCCEEDED) });
    const watch = test.client.watch(["q_1", "q_2"], { resumeToken: "late", onInterrupted: test.onInterrupted });
    const first = nextState(watch);
    const stream = await test.service.stream(1);
    stream.send(bookmark("later"));
    stream.send(status(SUCCEEDED, 5, { id: "q_2" }));
    stream.end();
    expect(await first).toBe("q_2 SUCCEEDED 5");
    expect(await watch.next()).toEqual(ended);
    expect(test.interruptions).toEqual([]);
  });

  it("tells an end that a stream kept to itself", async () => {
    await using test = await setUp({ batchGetStatus: ({ taskIds }) => results(taskIds, SUCCEEDED) });
    const watch = test.client.watch("q_1");
    const first = nextState(watch);
    const stream = await test.service.stream(1);
    stream.send(status(RUNNING, 1));
    stream.end();
    expect(await first).toBe("q_1 RUNNING 1");
    expect(await nextState(watch)).toBe("q_1 SUCCEEDED 9");
    expect(await watch.next()).toEqual(ended);
  });

  it("gives up when nothing was heard for as long as the caller set", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted, giveUpAfterMs: 250 });
    const failure = failureOf(watch.next());
    (await test.service.stream(1)).end(new Failure(unavailable, { reason: "NOT_READY" }));
    await test.interruption(1);
    test.clock.advance(100);
    (await test.service.stream(2)).end(new Failure(unavailable, { reason: "NOT_READY" }));
    expect(await failure).toMatchObject({ code: "UNAVAILABLE", reason: "NOT_READY" });
    expect(test.interruptions).toHaveLength(1);
  });
});

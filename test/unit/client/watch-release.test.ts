import { getEventListeners } from "node:events";

import { describe, expect, it } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { failureOf } from "./failure-of.ts";
import { Failure } from "./scripted-service.ts";
import { ended, inShort, nextOf, nextState, setUp, status } from "./watched-service.ts";

const { QUEUED, RUNNING, SUCCEEDED } = TaskState;
const unavailable = 14;

describe("a watch that is left", () => {
  it("ends at once by its signal, whatever is due", async () => {
    await using test = await setUp();
    const controller = new AbortController();
    const watch = test.client.watch("q_1", { signal: controller.signal });
    const first = nextState(watch);
    const stream = await test.service.stream(1);
    stream.send(status(QUEUED, 0));
    await first;
    const second = watch.next();
    controller.abort(new Error("enough"));
    await expect(second).rejects.toThrow("enough");
    expect(await watch.next()).toEqual(ended);
    await stream.cancelled;
    expect(test.clock.pendingMs).toEqual([]);
  });

  it("does not begin under a signal that is aborted already", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { signal: AbortSignal.abort(new Error("before")) });
    await expect(watch.next()).rejects.toThrow("before");
    expect(test.service.streams).toEqual([]);
  });

  it("releases the stream at a break, and while it waits to continue", async () => {
    await using test = await setUp({ watchStatus: (stream) => stream.send(status(QUEUED, 0)) });
    for await (const event of test.client.watch("q_1")) {
      expect(event.kind).toBe("status");
      break;
    }
    await test.service.streams[0]?.cancelled;
    expect(test.clock.pendingMs).toEqual([]);

    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted });
    await watch.next();
    const pending = watch.next();
    test.service.streams[1]?.end(new Failure(unavailable));
    await test.interruption(1);
    expect(await watch.return()).toEqual(ended);
    expect(await pending).toEqual(ended);
    expect(test.clock.pendingMs).toEqual([]);
  });

  it("is released by `await using`", async () => {
    await using test = await setUp({ watchStatus: (stream) => stream.send(status(QUEUED, 0)) });
    {
      await using watch = test.client.watch("q_1");
      await watch.next();
    }
    await test.service.streams[0]?.cancelled;
    expect(test.clock.pendingMs).toEqual([]);
  });

  it("fails when the client is closed", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1");
    const failure = failureOf(watch.next());
    await test.service.stream(1);
    test.client.close();
    expect(await failure).toMatchObject({ reason: "CLIENT_CLOSED" });
  });

  it("loses nothing that the stream brought before it ended, however slow the reader is", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted });
    const first = nextOf(watch);
    const stream = await test.service.stream(1);
    // More than the queue takes before the stream is paused, and less than the stream itself reads ahead.
    const changes = 75;
    for (let revision = 1; revision <= changes; revision += 1) stream.send(status(RUNNING, revision));
    stream.send(status(SUCCEEDED, changes + 1));
    stream.end();
    await first;
    await eventually("the end", () => test.clock.pendingMs.length === 0);
    let last = "";
    for await (const event of watch) last = inShort(event);
    expect(last).toBe(`q_1 SUCCEEDED ${changes + 1}`);
    expect(test.interruptions).toEqual([]);
  });

  it("leaves no listener on the signal", async () => {
    await using test = await setUp({
      watchStatus: (stream) => stream.send(status(SUCCEEDED, 1)),
      getStatus: () => ({ status: {} }),
      submitTask: () => ({ status: {} }),
    });
    const { signal } = new AbortController();
    for await (const event of test.client.watch("q_1", { signal })) expect(event.kind).toBe("status");
    await test.client.wait("q_1", { signal });
    await test.client.get("q_1", { signal });
    await test.client.submit({ queue: "q", type: "t" }, { signal });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("costs a bounded number of statuses while its reader is slow, is not taken for dead, and misses nothing", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { onInterrupted: test.onInterrupted });
    const first = nextOf(watch);
    const stream = await test.service.stream(1);
    const message = "x".repeat(4_000);
    const changes = 2_000;
    for (let revision = 1; revision <= changes; revision += 1) {
      stream.send({
        resumeToken: `${revision}`,
        event: {
          case: "status",
          value: { status: { taskId: "q_1", state: RUNNING, revision: BigInt(revision), progress: { message } } },
        },
      });
    }
    stream.send(status(SUCCEEDED, changes + 1));
    stream.end();
    await first;
    // What does not fit into the buffers of both sides waits at the service.
    let before = -1;
    await eventually("the stream to stop", () => before === (before = stream.unsent));
    test.clock.advance(120_000);
    expect(test.interruptions).toEqual([]);
    expect(stream.unsent).toBeGreaterThan(changes / 2);
    let last = 1;
    for await (const event of watch) {
      if (event.kind !== "status") throw new Error(event.kind);
      expect(event.status.revision).toBe(last + 1);
      last = event.status.revision;
    }
    expect(last).toBe(changes + 1);
  });
});

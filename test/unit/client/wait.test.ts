import { describe, expect, it } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { failureOf } from "./failure-of.ts";
import { Failure, type ScriptedStream } from "./scripted-service.ts";
import { setUp, status } from "./watched-service.ts";

const { QUEUED, RUNNING, SUCCEEDED, FAILED } = TaskState;

describe("wait", () => {
  it("returns the terminal status, whichever it is", async () => {
    await using test = await setUp();
    const end = test.client.wait("q_1");
    const stream = await test.service.stream(1);
    stream.send(status(QUEUED, 0, { snapshot: true }));
    stream.send(status(RUNNING, 1));
    stream.send(status(FAILED, 2));
    expect(await end).toMatchObject({ taskId: "q_1", state: "FAILED", revision: 2 });
    await eventually("the stream to be left", () => test.clock.pendingMs.length === 0);
  });

  it("watches the tasks of one turn of the event loop together, up to 1,000", async () => {
    const sizes: number[] = [];
    await using test = await setUp({
      watchStatus: (stream) => {
        sizes.push(stream.request.taskIds.length);
        for (const id of stream.request.taskIds) stream.send(status(SUCCEEDED, 1, { id }));
        stream.end();
      },
    });
    const ids = Array.from({ length: 2_500 }, (_, index) => `q_${index}`);
    const ends = await Promise.all(ids.map((id) => test.client.wait(id)));
    expect(ends.map(({ taskId }) => taskId)).toEqual(ids);
    expect(sizes).toEqual([1_000, 1_000, 500]);
  });

  it("lets many wait for one task over one stream", async () => {
    await using test = await setUp();
    const early = [test.client.wait("q_1"), test.client.wait("q_1")];
    const stream = await test.service.stream(1);
    const late = test.client.wait("q_1");
    expect(stream.request.taskIds).toEqual(["q_1"]);
    stream.send(status(SUCCEEDED, 1));
    for (const end of await Promise.all([...early, late])) expect(end.state).toBe("SUCCEEDED");
    expect(test.service.streams).toHaveLength(1);
  });

  it("joins the smallest watches when there are too many, and still sees every end", async () => {
    const streams = new Set<ScriptedStream>();
    await using test = await setUp({
      watchStatus: async (stream) => {
        streams.add(stream);
        await stream.cancelled;
        streams.delete(stream);
      },
    });
    const ids = Array.from({ length: 300 }, (_, index) => `q_${index}`);
    const ends: Promise<{ taskId: string }>[] = [];
    for (const [index, id] of ids.entries()) {
      ends.push(test.client.wait(id));
      // Each in a turn of its own; the held clock lets the longer gathering pass.
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      if (index > 64) test.clock.advance(100);
    }
    const watched = () => new Set([...streams].flatMap(({ request }) => request.taskIds));
    await eventually("all tasks to be watched", () => watched().size === ids.length && streams.size <= 65);
    for (const stream of streams) {
      for (const id of stream.request.taskIds) stream.send(status(SUCCEEDED, 1, { id }));
      stream.end();
    }
    expect((await Promise.all(ends)).map(({ taskId }) => taskId)).toEqual(ids);
  });

  it("fails for a task that is not there, and for no other", async () => {
    const there = new Set(["q_1", "q_3"]);
    const notFound = { reason: "TASK_NOT_FOUND", metadata: { task_id: "q_2" } };
    await using test = await setUp({
      watchStatus: (stream) => {
        if (stream.request.taskIds.some((id) => !there.has(id))) {
          stream.end(new Failure(5, notFound));
          return;
        }
        for (const id of stream.request.taskIds) stream.send(status(SUCCEEDED, 1, { id }));
      },
      batchGetStatus: ({ taskIds }) => ({
        results: taskIds.map((taskId) => ({
          result: there.has(taskId)
            ? { case: "status", value: { taskId, state: RUNNING } }
            : { case: "error", value: { code: 5, ...notFound } },
        })),
      }),
    });
    const [first, second, third, fourth] = ["q_1", "q_2", "q_3", "q_4"].map((id) => test.client.wait(id));
    expect(await failureOf(second!)).toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND" });
    expect(await failureOf(fourth!)).toMatchObject({ code: "NOT_FOUND" });
    expect((await first!).state).toBe("SUCCEEDED");
    expect((await third!).state).toBe("SUCCEEDED");
    expect(await failureOf(test.client.wait("q_2"))).toMatchObject({ code: "NOT_FOUND", taskId: "q_2" });
  });

  it("fails when the task goes away before its end was seen", async () => {
    await using test = await setUp();
    const failure = failureOf(test.client.wait("q_1"));
    (await test.service.stream(1)).send({ event: { case: "removed", value: { taskId: "q_1", reason: 1 } } });
    expect(await failure).toMatchObject({ code: "NOT_FOUND", reason: "TASK_EXPIRED", taskId: "q_1" });
  });

  it("gives up after the time that the caller set, and by its signal, and leaves the stream", async () => {
    await using test = await setUp();
    const failure = failureOf(test.client.wait("q_1", { timeoutMs: 5_000 }));
    const stream = await test.service.stream(1);
    test.clock.advance(5_000);
    expect(await failure).toMatchObject({ code: "DEADLINE_EXCEEDED", reason: "WAIT_TIMEOUT", taskId: "q_1" });
    await stream.cancelled;

    const controller = new AbortController();
    const aborted = test.client.wait("q_1", { signal: controller.signal, timeoutMs: 5_000 });
    const second = await test.service.stream(2);
    controller.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    await second.cancelled;
    expect(test.clock.pendingMs).toEqual([]);

    // One who leaves before anything was opened leaves nothing behind for those who come next.
    const hasty = new AbortController();
    const never = test.client.wait("q_1", { signal: hasty.signal });
    hasty.abort(new Error("at once"));
    const next = test.client.wait("q_2");
    await expect(never).rejects.toThrow("at once");
    const third = await test.service.stream(3);
    expect(third.request.taskIds).toEqual(["q_2"]);
    third.send(status(SUCCEEDED, 1, { id: "q_2" }));
    await next;
  });

  it("fails when the client is closed", async () => {
    await using test = await setUp();
    const open = failureOf(test.client.wait("q_1"));
    await test.service.stream(1);
    const gathered = failureOf(test.client.wait("q_2"));
    test.client.close();
    expect(await open).toMatchObject({ reason: "CLIENT_CLOSED" });
    expect(await gathered).toMatchObject({ reason: "CLIENT_CLOSED" });
    expect(await failureOf(test.client.wait("q_3"))).toMatchObject({ reason: "CLIENT_CLOSED" });
  });
});

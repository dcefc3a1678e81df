import { describe, expect, it } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { Failure } from "./scripted-service.ts";
import { begin, bookmark, ended, nextOf, nextState, setUp, status } from "./watched-service.ts";

const { QUEUED, RUNNING, SUCCEEDED } = TaskState;
const unavailable = 14;

describe("watch", () => {
  it("tells the snapshot, every change and the end, and then ends", async () => {
    await using test = await setUp();
    const watch = test.client.watch("q_1", { minIntervalMs: 250 });
    const first = nextOf(watch);
    const stream = await test.service.stream(1);
    expect(stream.request).toMatchObject({ taskIds: ["q_1"], resumeToken: "", minInterval: { nanos: 250_000_000 } });
    stream.send(status(QUEUED, 0, { snapshot: true, token: "a" }));
    stream.send(status(RUNNING, 5, { token: "b" }));
    stream.send(status(SUCCEEDED, 9, { merged: 3, token: "c" }));
    stream.end();
    expect(await first).toMatchObject({ kind: "status", snapshot: true, merged: 0, resumeToken: "a" });
    expect(await nextOf(watch)).toMatchObject({ status: { state: "RUNNING", revision: 5 }, resumeToken: "b" });
    expect(await nextOf(watch)).toMatchObject({ status: { state: "SUCCEEDED" }, merged: 3, resumeToken: "c" });
    expect(await watch.next()).toEqual(ended);
    expect(test.service.streams).toHaveLength(1);
    expect(test.clock.pendingMs).toEqual([]);
  });

  it("ends only after the last of several tasks, be it removed", async () => {
    await using test = await setUp();
    const watch = test.client.watch(["q_1", "q_2", "q_3", "q_2"]);
    const first = nextState(watch);
    const stream = await test.service.stream(1);
    expect(stream.request.taskIds).toEqual(["q_1", "q_2", "q_3"]);
    stream.send(status(SUCCEEDED, 1));
    stream.send({ resumeToken: "x", event: { case: "removed", value: { taskId: "q_2", reason: 2 } } });
    stream.send(status(SUCCEEDED, 2, { id: "q_3" }));
    expect(await first).toBe("q_1 SUCCEEDED 1");
    expect(await nextOf(watch)).toEqual({ kind: "removed", taskId: "q_2", reason: "DELETED", resumeToken: "x" });
    expect(await nextState(watch)).toBe("q_3 SUCCEEDED 2");
    expect(await watch.next()).toEqual(ended);
  });

  it("watches what a selector picks, and is not ended by any task", async () => {
    await using test = await setUp();
    const watch = test.client.watch({ queues: ["q"], states: ["RUNNING"], labels: { a: "b" } });
    const first = nextState(watch);
    const stream = await test.service.stream(1);
    expect(stream.request).toMatchObject({
      taskIds: [],
      selector: { queues: ["q"], types: [], states: [RUNNING], labels: { a: "b" } },
    });
    stream.send(status(SUCCEEDED, 1));
    stream.send(status(RUNNING, 2, { id: "q_2" }));
    expect(await first).toBe("q_1 SUCCEEDED 1");
    expect(await nextState(watch)).toBe("q_2 RUNNING 2");
  });

  it("tells bookmarks only if asked, and keeps their tokens in any case", async () => {
    await using test = await setUp();
    const quiet = test.client.watch("q_1", { onInterrupted: test.onInterrupted });
    const chatty = test.client.watch("q_1", { bookmarks: true });
    const heard = nextState(quiet);
    const quietStream = await test.service.stream(1);
    quietStream.send(bookmark("mark"));
    quietStream.send(status(QUEUED, 0, { token: "" }));
    expect(await heard).toBe("q_1 QUEUED 0");
    quietStream.end(new Failure(unavailable, { reason: "DRAINING" }));
    test.clock.advance((await test.interruption(1)).delayMs);
    expect((await test.service.stream(2)).request.resumeToken).toBe("mark");

    const marked = nextOf(chatty);
    (await test.service.stream(3)).send(bookmark("mark"));
    expect(await marked).toEqual({ kind: "bookmark", revision: 9, resumeToken: "mark" });
  });

  it("continues after the caller's token", async () => {
    await using test = await setUp();
    begin(test.client.watch("q_1", { resumeToken: "kept" }));
    expect((await test.service.stream(1)).request.resumeToken).toBe("kept");
  });
});

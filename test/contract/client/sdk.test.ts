import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { createTaskwatchClient, type TaskwatchClient } from "../../../src/client/index.ts";
import { createWorker, FatalError, type TaskContext, type Worker } from "../../../src/worker/index.ts";
import { type NatsServer, startNatsServer } from "../../support/nats-server.ts";
import { type Service, startService } from "../../support/service.ts";
import { failureOf } from "../../unit/client/failure-of.ts";

const queue = "sdk";

const handlers = {
  echo: ({ payload }: TaskContext) => payload,
  fail: () => {
    throw new FatalError("NO_WAY", "it cannot be done");
  },
  count: async ({ payload, progress, signal }: TaskContext) => {
    const { to } = payload as { readonly to: number };
    for (let done = 1; done <= to; done += 1) {
      progress({ done, total: to });
      await sleep(20, undefined, { signal });
    }
    return to;
  },
};

describe("the SDK against the service", () => {
  let server: NatsServer;
  let service: Service;
  let worker: Worker;
  let client: TaskwatchClient;

  beforeAll(async () => {
    server = await startNatsServer();
    service = await startService(server.url);
    worker = createWorker({ nats: server.url, queue, handlers, slots: 50, progressIntervalMs: 20 });
    await worker.start();
    client = createTaskwatchClient({ address: service.grpcAddress });
  });

  afterAll(async () => {
    client.close();
    await worker.stop();
    await service[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  it("watches a task from its beginning to its end", async () => {
    const { taskId, status } = await client.submit({ queue, type: "count", payload: { to: 10 }, labels: { a: "b" } });
    expect(status).toMatchObject({ taskId, queue, type: "count", state: "QUEUED", labels: { a: "b" }, revision: 0 });
    const states = new Set<string>();
    let lastRevision = -1;
    for await (const event of client.watch(taskId)) {
      if (event.kind !== "status") continue;
      expect(event.status.revision).toBeGreaterThanOrEqual(lastRevision);
      lastRevision = event.status.revision;
      states.add(event.status.state);
    }
    expect([...states].at(-1)).toBe("SUCCEEDED");
    expect(states).toContain("RUNNING");
    expect(await client.get(taskId)).toMatchObject({ state: "SUCCEEDED", result: 10, attempt: 1 });
  });

  it("gives results back as they were", async () => {
    const json = { text: "ü", list: [1, null, true], nested: { empty: {} } };
    const bytes = new Uint8Array([0, 255, 1]);
    const tasks = await Promise.all(
      [json, bytes, undefined].map((payload) => client.submit({ queue, type: "echo", payload })),
    );
    const ends = await Promise.all(tasks.map(({ taskId }) => client.wait(taskId)));
    expect(ends.map(({ result }) => result)).toEqual([json, bytes, undefined]);
  });

  it("waits for many tasks, of which some are not there", async () => {
    const tasks = await Promise.all(
      Array.from({ length: 300 }, (_, index) => client.submit({ queue, type: index % 3 === 0 ? "fail" : "echo" })),
    );
    const ids = tasks.map(({ taskId }) => taskId);
    const missing = `${queue}_00000000000000000000000000`;
    const waits = [...ids, missing].map((id) => client.wait(id, { timeoutMs: 20_000 }));
    const absent = failureOf(waits.pop()!);
    const states = (await Promise.all(waits)).map(({ state }) => state);
    expect(states).toEqual(ids.map((_, index) => (index % 3 === 0 ? "FAILED" : "SUCCEEDED")));
    expect(await absent).toMatchObject({ code: "NOT_FOUND", reason: "TASK_NOT_FOUND", taskId: missing });
  });

  it("continues after the caller's token, and tells nothing twice", async () => {
    const { taskId } = await client.submit({ queue, type: "count", payload: { to: 20 } });
    const first: number[] = [];
    let token = "";
    for await (const event of client.watch(taskId)) {
      if (event.kind !== "status") continue;
      first.push(event.status.revision);
      token = event.resumeToken;
      if (event.status.state === "RUNNING") break;
    }
    const rest: number[] = [];
    for await (const event of client.watch(taskId, { resumeToken: token })) {
      if (event.kind !== "status") continue;
      rest.push(event.status.revision);
      token = event.resumeToken;
    }
    expect(rest.length).toBeGreaterThan(0);
    expect(Math.min(...rest)).toBeGreaterThan(Math.max(...first));
    for await (const event of client.watch(taskId, { resumeToken: token })) expect(event.kind).toBe("bookmark");
  });

  it("lists, cancels, and says why not", async () => {
    const { taskId } = await client.submit({ queue, type: "count", payload: { to: 1_000 }, labels: { run: "cancel" } });
    for await (const event of client.watch(taskId)) {
      if (event.kind === "status" && event.status.state === "RUNNING") break;
    }
    expect(await client.cancel(taskId, { reason: "enough" })).toMatchObject({ cancellation: { reason: "enough" } });
    expect(await client.wait(taskId)).toMatchObject({ state: "CANCELLED" });
    const listed: string[] = [];
    for await (const status of client.list({ queues: [queue], labels: { run: "cancel" } })) listed.push(status.taskId);
    expect(listed).toEqual([taskId]);
    const done = await client.submit({ queue, type: "echo" });
    await client.wait(done.taskId);
    expect(await failureOf(client.cancel(done.taskId))).toMatchObject({ reason: "TASK_ALREADY_ENDED" });
  });

  it("names the task that a request id was used for", async () => {
    const submission = { queue, type: "echo", payload: 1, requestId: "only-once" };
    const first = await client.submit(submission);
    expect(await client.submit(submission)).toMatchObject({ taskId: first.taskId, duplicate: true });
    const other = await failureOf(client.submit({ ...submission, payload: 2 }));
    expect(other).toMatchObject({ code: "ALREADY_EXISTS", reason: "REQUEST_ID_REUSED", taskId: first.taskId });
  });

  it("comes through the death of the service without an error", async () => {
    const end = async (index: number): Promise<string> => {
      const { taskId } = await client.submit({ queue, type: "count", payload: { to: 50 } });
      if (index % 2 === 0) return (await client.wait(taskId)).state;
      let last = "";
      for await (const event of client.watch(taskId)) if (event.kind === "status") last = event.status.state;
      return last;
    };
    const before = Array.from({ length: 40 }, (_, index) => end(index));
    await client.submit({ queue, type: "echo" });
    await service.process.kill();
    const during = Array.from({ length: 20 }, (_, index) => end(index));
    service = await startService(server.url, { like: service });
    expect(new Set(await Promise.all([...before, ...during]))).toEqual(new Set(["SUCCEEDED"]));
  });
});

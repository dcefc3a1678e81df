import { describe, expect, it } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import type { CancelTaskRequest, ListTasksRequest } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { failureOf } from "./failure-of.ts";
import { Failure } from "./scripted-service.ts";
import { setUp } from "./watched-service.ts";

const { RUNNING } = TaskState;

describe("get", () => {
  it("reads a status, at least as new as asked", async () => {
    let minRevision: bigint | undefined;
    await using test = await setUp({
      getStatus: (request) => {
        ({ minRevision } = request);
        return { status: { taskId: request.taskId, state: RUNNING, revision: 8n } };
      },
    });
    const status = await test.client.get("q_1", { minRevision: 7 });
    expect(status).toMatchObject({ taskId: "q_1", state: "RUNNING", revision: 8 });
    expect(minRevision).toBe(7n);
  });

  it("tells a task that never was from one that is no longer kept", async () => {
    await using test = await setUp({
      getStatus: ({ taskId }) => {
        throw new Failure(5, {
          message: "task not found",
          reason: taskId === "q_1" ? "TASK_NOT_FOUND" : "TASK_EXPIRED",
          metadata: { task_id: taskId },
        });
      },
    });
    expect(await failureOf(test.client.get("q_1"))).toMatchObject({ reason: "TASK_NOT_FOUND", taskId: "q_1" });
    expect(await failureOf(test.client.get("q_2"))).toMatchObject({
      reason: "TASK_EXPIRED",
      message: "task not found",
    });
  });

  it("sends the API key with each call", async () => {
    let authorization: unknown;
    const script = {
      getStatus: (_request: unknown, { metadata }: { metadata: { get(name: string): unknown[] } }) => {
        [authorization] = metadata.get("authorization");
        return { status: {} };
      },
    };
    await using test = await setUp(script, { apiKey: "tw_secret" });
    await test.client.get("q_1");
    expect(authorization).toBe("Bearer tw_secret");
  });

  it("is repeated while the service is unavailable, until its signal is aborted", async () => {
    await using test = await setUp({
      getStatus: () => {
        throw new Failure(14, { reason: "NOT_READY" });
      },
    });
    const controller = new AbortController();
    const status = test.client.get("q_1", { signal: controller.signal });
    test.clock.advance(await eventually("a pause", () => test.clock.pendingMs[0]));
    await eventually("the second call", () => test.service.calls.length === 2 && test.clock.pendingMs[0]);
    controller.abort(new Error("enough"));
    await expect(status).rejects.toThrow("enough");
    expect(test.clock.pendingMs).toEqual([]);
  });
});

describe("getMany", () => {
  it("reads any number in the order of the ids, and asks again for what did not fit", async () => {
    const sizes: number[] = [];
    await using test = await setUp({
      batchGetStatus: ({ taskIds }) => {
        sizes.push(taskIds.length);
        return {
          results: taskIds.map((taskId, index) => {
            if (index >= 600) {
              return { result: { case: "error", value: { code: 8, reason: "RESPONSE_TOO_LARGE" } } };
            }
            if (taskId === "q_5") {
              return { result: { case: "error", value: { code: 5, reason: "TASK_NOT_FOUND", message: "no task" } } };
            }
            return { result: { case: "status", value: { taskId, state: RUNNING } } };
          }),
        };
      },
    });
    const ids = Array.from({ length: 1_300 }, (_, index) => `q_${index}`);
    const results = await test.client.getMany(ids);
    expect(results.map(({ taskId }) => taskId)).toEqual(ids);
    expect(results[5]).toMatchObject({ error: { code: "NOT_FOUND", reason: "TASK_NOT_FOUND", message: "no task" } });
    expect(results.filter(({ status }) => status?.state === "RUNNING")).toHaveLength(1_299);
    expect(sizes).toEqual([1_000, 700, 100]);
  });

  it("does not ask for ever for a status that never fits", async () => {
    await using test = await setUp({
      batchGetStatus: () => ({
        results: [{ result: { case: "error", value: { code: 8, reason: "RESPONSE_TOO_LARGE" } } }],
      }),
    });
    expect(await test.client.getMany(["q_1"])).toMatchObject([{ error: { reason: "RESPONSE_TOO_LARGE" } }]);
  });
});

describe("list", () => {
  it("goes from page to page, also over an empty one, and no further than it is read", async () => {
    const requests: ListTasksRequest[] = [];
    const pages: Record<string, { statuses: { taskId: string }[]; nextPageToken: string }> = {
      "": { statuses: [{ taskId: "a" }, { taskId: "b" }], nextPageToken: "2" },
      "2": { statuses: [], nextPageToken: "3" },
      "3": { statuses: [{ taskId: "c" }], nextPageToken: "4" },
      "4": { statuses: [{ taskId: "d" }], nextPageToken: "" },
    };
    await using test = await setUp({
      listTasks: (request) => {
        requests.push(request);
        return pages[request.pageToken]!;
      },
    });
    const query = {
      queues: ["q"],
      types: ["t"],
      states: ["FAILED", "EXPIRED"] as const,
      labels: { a: "b" },
      createdAfter: new Date(1_000),
      createdBefore: new Date(2_000),
      pageSize: 2,
      omitResults: true,
    };
    const seen: string[] = [];
    for await (const { taskId } of test.client.list(query)) seen.push(taskId);
    expect(seen).toEqual(["a", "b", "c", "d"]);
    expect(requests[0]).toMatchObject({
      selector: { queues: ["q"], types: ["t"], states: [TaskState.FAILED, TaskState.EXPIRED], labels: { a: "b" } },
      createdAfter: { seconds: 1n },
      createdBefore: { seconds: 2n },
      pageSize: 2,
      omitResults: true,
    });

    requests.length = 0;
    for await (const { taskId } of test.client.list()) if (taskId === "b") break;
    expect(requests).toHaveLength(1);
  });
});

describe("cancel", () => {
  it("says why and how long the attempt may take", async () => {
    let seen: CancelTaskRequest | undefined;
    await using test = await setUp({
      cancelTask: (request) => {
        seen = request;
        return { status: { taskId: request.taskId, state: TaskState.CANCELLING } };
      },
    });
    const status = await test.client.cancel("q_1", { reason: "wrong input", graceMs: 5_000 });
    expect(status.state).toBe("CANCELLING");
    expect(seen).toMatchObject({ taskId: "q_1", reason: "wrong input", grace: { seconds: 5n } });
  });

  it("fails for a task that ended otherwise", async () => {
    await using test = await setUp({
      cancelTask: () => {
        throw new Failure(9, { reason: "TASK_ALREADY_ENDED" });
      },
    });
    expect(await failureOf(test.client.cancel("q_1"))).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "TASK_ALREADY_ENDED",
    });
  });
});

import { describe, expect, it } from "vitest";

import { pauseBeforeRepeat } from "../../../src/client/call.ts";
import { TaskwatchError } from "../../../src/client/index.ts";
import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { failureOf } from "./failure-of.ts";
import { Failure, type Script } from "./scripted-service.ts";
import { setUp } from "./watched-service.ts";

const deadlineExceeded = 4;
const status = { taskId: "q_1", state: TaskState.CANCELLED };

/** Lets the first call go unanswered. */
function silentOnce<Answer>(answer: Answer): () => Answer | Promise<never> {
  let silent = true;
  return () => {
    if (!silent) return answer;
    silent = false;
    return new Promise<never>(() => {});
  };
}

describe("a call that is not answered in time", () => {
  it("is made again with the same request id, if it is a submit", async () => {
    const answer = silentOnce({ status });
    const requestIds: string[] = [];
    const script: Script = {
      submitTask: ({ requestId }) => {
        requestIds.push(requestId);
        return answer();
      },
    };
    await using test = await setUp(script, { timeoutMs: 100 });
    const task = test.client.submit({ queue: "q", type: "t" });
    test.clock.advance(await eventually("a pause", () => test.clock.pendingMs[0]));
    expect((await task).taskId).toBe("q_1");
    expect(requestIds).toHaveLength(2);
    expect(new Set(requestIds).size).toBe(1);
  });

  it("is made again for those items of a batch whose time was over", async () => {
    const batches: string[][] = [];
    const script: Script = {
      submitTasks: ({ requests }) => {
        batches.push(requests.map(({ type }) => type));
        return {
          results: requests.map(({ type }) => ({
            result:
              batches.length === 1 && type !== "b"
                ? { case: "error", value: { code: deadlineExceeded, reason: "DEADLINE_EXCEEDED", message: "too late" } }
                : { case: "accepted", value: { status: { taskId: type } } },
          })),
        };
      },
    };
    await using test = await setUp(script);
    const tasks = ["a", "b", "c"].map((type) => test.client.submit({ queue: "q", type }));
    await tasks[1];
    test.clock.advance(await eventually("a pause", () => test.clock.pendingMs[0]));
    expect((await Promise.all(tasks)).map(({ taskId }) => taskId)).toEqual(["a", "b", "c"]);
    expect(batches).toEqual([
      ["a", "b", "c"],
      ["a", "c"],
    ]);
  });

  it("is made again if it reads or cancels", async () => {
    const script: Script = {
      getStatus: silentOnce({ status }),
      cancelTask: silentOnce({ status }),
    };
    await using test = await setUp(script, { timeoutMs: 100 });
    for (const call of [() => test.client.get("q_1"), () => test.client.cancel("q_1")]) {
      const answer = call();
      test.clock.advance(await eventually("a pause", () => test.clock.pendingMs[0]));
      expect(await answer).toMatchObject({ taskId: "q_1" });
    }
    expect(test.service.calls).toEqual(["getStatus", "getStatus", "cancelTask", "cancelTask"]);
  });

  it("fails when the budget is used up, and tells the request id", async () => {
    const script: Script = {
      submitTask: () => {
        throw new Failure(deadlineExceeded, { reason: "DEADLINE_EXCEEDED" });
      },
    };
    await using test = await setUp(script, { retryBudgetMs: 200 });
    const failure = failureOf(test.client.submit({ queue: "q", type: "t", requestId: "r" }));
    for (const pauseMs of [50, 100]) {
      await eventually(`a pause of ${pauseMs} ms`, () => test.clock.pendingMs[0] === pauseMs);
      test.clock.advance(pauseMs);
    }
    expect(await failure).toMatchObject({ code: "DEADLINE_EXCEEDED", metadata: { request_id: "r" } });
    expect(test.service.calls).toHaveLength(3);
  });
});

describe("the pause before a call is repeated", () => {
  it("stays below two seconds after however many failures, unless the service asks for more", () => {
    const chance = 1 - Number.EPSILON;
    for (const code of ["UNAVAILABLE", "DEADLINE_EXCEEDED"] as const) {
      expect(pauseBeforeRepeat(new TaskwatchError(code, "no answer"), 50, chance)).toBeCloseTo(2_000);
      const asked = new TaskwatchError(code, "no answer", { retryDelayMs: 3_000 });
      expect(pauseBeforeRepeat(asked, 50, chance)).toBeCloseTo(5_000);
    }
  });
});

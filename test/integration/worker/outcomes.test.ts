import { expect, test } from "vitest";

import { Attempt_Outcome, TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { useNatsServer } from "../../support/nats-server.ts";
import { openBench, stateOf } from "./support.ts";

const server = useNatsServer();

test("what a handler returns is the result", async () => {
  await using bench = await openBench(server.url);
  await bench.start(({ payload }) => ({ echo: payload ?? null }));
  const task = await bench.ended(await bench.submit());
  expect(stateOf(task)).toBe("SUCCEEDED");
  expect(task.mutable.attempts).toMatchObject([{ number: 1, outcome: Attempt_Outcome.SUCCEEDED }]);
  void TaskState;
});

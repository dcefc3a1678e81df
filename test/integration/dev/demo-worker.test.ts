import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

import { expect, test } from "vitest";

import type { Submission } from "../../../src/task/submission.ts";
import type { Task } from "../../../src/task/task.ts";
import { isTerminal } from "../../../src/task/transitions.ts";
import { startProjectProcess } from "../../support/child-process.ts";
import { type Deployment, openDeployment } from "../../support/deployment.ts";
import { eventually } from "../../support/eventually.ts";
import { useNatsServer } from "../../support/nats-server.ts";
import { jsonPayload, jsonResultOf, policy, stateOf } from "../worker/support.ts";

const server = useNatsServer();

test("the demo worker serves its queue, and finishes what runs when it is told to end", async () => {
  await using deployment = await openDeployment(server.url);
  await using worker = startProjectProcess({
    file: "src/cli/main.ts",
    arguments: ["worker", "--queue", "demo", "--handlers", "src/dev/demo-handlers.ts"],
    environment: { TASKWATCH_NATS_URL: server.url },
  });
  const path = "proto/taskwatch/v1/task.proto";
  const digest = createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

  const checksum = await deployment.submit({ queue: "demo", type: "checksum", payload: jsonPayload({ path }) });
  const flaky = await deployment.submit({ queue: "demo", type: "flaky", retryPolicy: policy(3, 1) });
  const refused = await deployment.submit({
    queue: "demo",
    type: "wordcount",
    payload: jsonPayload({ path: "nowhere" }),
  });
  expect(jsonResultOf(await ended(deployment, checksum))).toEqual({ [path]: digest });
  expect(jsonResultOf(await ended(deployment, flaky))).toEqual({ attempts: 3 });
  const { attempt, error } = (await ended(deployment, refused)).mutable;
  expect([attempt, error?.code]).toEqual([1, "PATH_NOT_FOUND"]);

  const sleep = await deployment.submit({ queue: "demo", type: "sleep", payload: jsonPayload({ ms: 1_000 }) });
  await eventually("the sleep to run", () => deployment.records.read(sleep.task.key));
  expect(await worker.kill("SIGTERM")).toBe(0);
  expect(stateOf(await ended(deployment, sleep))).toBe("SUCCEEDED");
});

function ended({ records }: Deployment, { task: { key } }: Submission): Promise<Task> {
  return eventually("the task to end", async () => {
    const task = await records.read(key);
    return task !== undefined && isTerminal(task.head.state) ? task : undefined;
  });
}

import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { openDeployment } from "../support/deployment.ts";
import { useNatsServer } from "../support/nats-server.ts";
import { createSteps, idOf, inSync, openViewProcess } from "../support/view-process.ts";
import { isState, readWatch } from "../support/watch-reader.ts";

const server = useNatsServer();

test("a watch shows the status at once, then every change, and ends OK after the end", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const steps = createSteps(deployment);
  const submission = await deployment.submit();
  using reader = readWatch(await process.watch({ taskIds: [idOf(submission)] }));
  expect(reader.words).toEqual(["QUEUED", "bookmark"]);
  let task = await deployment.claim(submission);
  await reader.until("the claim", isState("RUNNING"));
  task = await steps.retry(task);
  await reader.until("the failed attempt", isState("RETRYING"));
  await steps.cancel(task);
  expect(await reader.untilEnd()).toBe("ok");
  expect(reader.words).toEqual(["QUEUED", "bookmark", "RUNNING", "RETRYING", "CANCELLED"]);
  expect(reader.events.flatMap((event) => (event.kind === "status" ? [event.snapshot] : []))).toEqual([
    true,
    false,
    false,
    false,
  ]);
});

test("a delayed task is seen as SCHEDULED, and as QUEUED when its time has come", async () => {
  await using deployment = await openDeployment(server.url);
  await using process = await openViewProcess(deployment);
  const submission = await deployment.submit({ start: { case: "delay", value: durationFromMs(300) } });
  using reader = readWatch(await process.watch({ taskIds: [idOf(submission)] }));
  await reader.until("its time", isState("QUEUED"));
  expect(reader.words).toEqual(["SCHEDULED", "bookmark", "QUEUED"]);
  await inSync(process, deployment);
});

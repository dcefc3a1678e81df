import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

import { headers } from "@nats-io/transport-node";
import { expect, test } from "vitest";

import { findNatsServer } from "../../../src/dev/nats-server-binary.ts";
import { compareVersions, connectNats, minimumServerVersion, UnsupportedServer } from "../../../src/nats/connection.ts";
import { openStore } from "../../../src/nats/store.ts";
import type { Difference } from "../../../src/nats/topology.ts";
import { openDeployment } from "../../support/deployment.ts";
import { startNatsServer } from "../../support/nats-server.ts";

test("many processes that start at once on an empty server agree on epoch, ids and streams", async () => {
  await using server = await startNatsServer();
  await using nats = await connectNats({ url: server.url, name: "test" });
  const stores = await Promise.all(Array.from({ length: 8 }, () => openStore(nats)));
  await Promise.all(stores.map((store) => store.queue("q")));
  expect(new Set(stores.map(({ epoch }) => epoch)).size).toBe(1);
  const [first] = stores;
  const key = first!.ids.create({ namespace: "n", queue: "q", nowMs: Date.now() });
  expect(stores.every(({ ids }) => ids.isOurs(key))).toBe(true);
});

test("opening a second time finds nothing that differs", async () => {
  await using server = await startNatsServer();
  await using first = await openDeployment(server.url);
  const differences: Difference[] = [];
  const again = await openStore(first.nats, { onDifference: (difference) => differences.push(difference) });
  await again.queue("q");
  expect(differences).toEqual([]);
});

test("a setting that an operator changed is reported and left as it is", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  const { manager } = deployment.nats;
  const { config } = await manager.streams.info("KV_TASKWATCH");
  await manager.streams.update("KV_TASKWATCH", { ...config, allow_direct: false });
  await manager.consumers.update("JOBS_q", "high", { ack_wait: 7_000_000_000 });
  const differences: Difference[] = [];
  const store = await openStore(deployment.nats, { onDifference: (difference) => differences.push(difference) });
  await store.queue("q");
  expect(differences).toEqual([
    { what: "KV_TASKWATCH", setting: "allow_direct", wanted: true, actual: false },
    { what: "JOBS_q/high", setting: "ack_wait", wanted: 30_000_000_000, actual: 7_000_000_000 },
  ]);
  expect((await manager.consumers.info("JOBS_q", "high")).config.ack_wait).toBe(7_000_000_000);
});

test("the status bucket is one that a key's writer cannot wipe, and that any KV client can read", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  const { config } = await deployment.nats.manager.streams.info("KV_TASKWATCH");
  expect(config).toMatchObject({
    subjects: ["$KV.TASKWATCH.>"],
    allow_rollup_hdrs: false,
    deny_delete: true,
    allow_direct: true,
    allow_msg_ttl: true,
    max_msgs_per_subject: 1,
    storage: "file",
  });
});

test("a bucket made anew has another epoch, with the same ids", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url);
  await deployment.nats.manager.streams.delete("KV_TASKWATCH");
  const again = await openStore(deployment.nats);
  expect(again.epoch).not.toBe(deployment.store.epoch);
  expect(again.ids.isOurs(deployment.submission().task.key)).toBe(true);
});

test("one queue too many is refused by name, and those that are there go on", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url, { store: { maxQueues: 2 } });
  await deployment.store.queue("second");
  await expect(deployment.store.queue("third")).rejects.toMatchObject({ reason: "QUEUE_LIMIT_REACHED" });
  await expect(deployment.store.queue("second")).resolves.toBeDefined();
});

test("many new queues at once are made up to the limit, and no further", async () => {
  await using server = await startNatsServer();
  await using deployment = await openDeployment(server.url, { store: { maxQueues: 5 } });
  const makes = Array.from({ length: 20 }, (_, index) => deployment.store.queue(`many-${index}`));
  const settled = await Promise.allSettled(makes);
  // With the queue that was there before.
  expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(4);
});

test("a queue whose settings were deleted with a KV client is made again", async () => {
  await using server = await startNatsServer();
  await using first = await openDeployment(server.url);
  const marker = headers();
  marker.set("KV-Operation", "DEL");
  await first.nats.jetStream.publish("$KV.TASKWATCH_META.queue.q", new Uint8Array(0), { headers: marker });
  await using second = await openDeployment(server.url);
  await expect(second.store.queue("q")).resolves.toMatchObject({ leaseMs: 30_000 });
});

test("a server without JetStream is refused with what to do about it", async () => {
  const { path } = await findNatsServer();
  const child = spawn(path, ["--addr", "127.0.0.1", "--port", "-1"], { stdio: ["ignore", "ignore", "pipe"] });
  try {
    const lines = createInterface({ input: child.stderr });
    let port = "";
    for await (const line of lines) {
      port = /Listening for client connections on 127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? "";
      if (port !== "") break;
    }
    const refusal = await connectNats({ url: `127.0.0.1:${port}`, name: "test" }).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(UnsupportedServer);
    expect(String(refusal)).toContain("start it with -js");
  } finally {
    child.kill("SIGKILL");
  }
});

test.each([
  ["2.12.6", -1],
  ["2.12.7", 0],
  ["2.14.0-RC1", 1],
  ["2.9.10", -1],
  ["3.0.0", 1],
])("server version %s is below, at or above the floor: %i", (version, expected) => {
  expect(Math.sign(compareVersions(version, minimumServerVersion))).toBe(expected);
});

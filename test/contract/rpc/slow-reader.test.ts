import { setTimeout as sleep } from "node:timers/promises";

import { describe, expect, test } from "vitest";

import type { WatchEvent } from "../../../src/operations/operations.ts";
import { createCertificate } from "../../support/certificate.ts";
import { eventually } from "../../support/eventually.ts";
import { openRawWatch, openSecureRawWatch, type RawWatch } from "../../support/raw-watch.ts";
import type { Listeners } from "../../support/rpc-clients.ts";
import { type RpcListeners, type RpcListenersOptions, startRpcListeners } from "../../support/rpc-listeners.ts";
import { scriptedTaskId, type ScriptedWatch, snapshotFrom } from "../../support/scripted-operations.ts";

const taskId = scriptedTaskId(1);
const large: WatchEvent = {
  kind: "status",
  status: snapshotFrom({ taskId, retryOf: "x".repeat(256 * 1_024) }),
  snapshot: false,
  merged: 0,
  resumeToken: "token",
};
/** More than all buffers between here and there hold. */
const tooMany = Array.from({ length: 120 }, () => large);

/** Waits until the server waits for the client: nothing more is taken, though there is more. */
async function untilParked(watch: ScriptedWatch): Promise<void> {
  await eventually("the watch to be parked", async () => {
    const { due } = watch;
    await sleep(100);
    return due > 0 && due < tooMany.length && watch.due === due;
  });
}

async function openParked(listeners: RpcListeners, open: (listeners: Listeners, taskIds: string[]) => RawWatch) {
  const before = listeners.operations.watches.length;
  const raw = open(listeners, [taskId]);
  const watch = await eventually("the watch to open", () => listeners.operations.watches[before]);
  watch.push(...tooMany);
  await untilParked(watch);
  return { raw, watch };
}

const ways: [name: string, open: (typeof openRawWatch)[string], options: RpcListenersOptions][] = [
  ...Object.entries(openRawWatch).map(([name, open]): (typeof ways)[number] => [name, open, {}]),
  ["Connect over HTTP/2 with TLS", openSecureRawWatch, { tls: createCertificate() }],
];

describe.each(ways)("a reader of %s that does not read", (_name, open, options) => {
  test("and goes away is released at once, and everything that worked for it ends", async () => {
    await using listeners = await startRpcListeners(options);
    const { raw, watch } = await openParked(listeners, open);
    raw.leave();
    await eventually("the watch to be closed", () => watch.closed, { timeoutMs: 2_000 });
    expect(watch.due).toBeGreaterThan(0);
    expect(listeners.observer.watchEnds).toEqual(["client_gone"]);
    expect(listeners.observer.handled).toMatchObject([{ method: "WatchStatus", code: 1 }]);
    // Resolves only when no call is left.
    await listeners.grpcServer.drain(10_000);
    await listeners.httpServer.drain(10_000);
  });

  test("is cut when it has not read for too long", async () => {
    await using listeners = await startRpcListeners({ ...options, limits: { stallTimeoutMs: 400 } });
    const { raw, watch } = await openParked(listeners, open);
    await eventually("the watch to be closed", () => watch.closed, { timeoutMs: 3_000 });
    expect(listeners.observer.watchEnds).toEqual(["slow_reader"]);
    expect(listeners.observer.handled).toMatchObject([{ method: "WatchStatus", code: 8 }]);
    raw.read();
    // ENHANCE_YOUR_CALM, which gRPC clients report as RESOURCE_EXHAUSTED; HTTP/1.1 has no code.
    expect([11, undefined]).toContain(await raw.ended);
  });

  test("and then does gets everything", async () => {
    await using listeners = await startRpcListeners(options);
    const { raw, watch } = await openParked(listeners, open);
    watch.finish("ok");
    raw.read();
    await eventually("everything to be taken", () => watch.due === 0);
    await eventually("the watch to be closed", () => watch.closed);
    expect(listeners.observer.watchEnds).toEqual(["completed"]);
    raw.leave();
  });
});

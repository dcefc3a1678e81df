import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { findNatsServer } from "../../../src/dev/nats-server-binary.ts";
import { startNatsServer } from "../../../src/dev/nats-server.ts";

// A folder of this file's own for temporary files, because other tests make some at the same time.
let ours: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  ours = await temporaryFolder();
  process.env["TMPDIR"] = ours.path;
});
afterAll(async () => {
  delete process.env["TMPDIR"];
  await ours[Symbol.asyncDispose]();
});

describe("a server that was started", () => {
  test("keeps its address and what was stored when it is killed and restarted", async () => {
    await using server = await startNatsServer({ syncInterval: "always" });
    const { url, pid } = server;
    {
      await using connection = await connect({ servers: url });
      await (await jetstreamManager(connection)).streams.add({ name: "kept", subjects: ["kept"] });
      await jetstream(connection).publish("kept", "one");
    }
    await server.kill();
    await expect(connect({ servers: url, maxReconnectAttempts: 0 })).rejects.toThrow(/ECONNREFUSED|refused/);

    await server.restart();
    expect(server.url).toBe(url);
    expect(server.pid).not.toBe(pid);
    await using connection = await connect({ servers: url });
    const { state } = await (await jetstreamManager(connection)).streams.info("kept");
    expect(state.messages).toBe(1);
  });

  test("is gone with everything it made when it is disposed", async () => {
    const before = await ourTemporaryFolders();
    let pid = 0;
    {
      await using server = await startNatsServer();
      pid = server.pid;
      expect(await ourTemporaryFolders()).toHaveLength(before.length + 1);
    }
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    expect(await ourTemporaryFolders()).toEqual(before);
  });

  test("leaves a store that it was given", async () => {
    await using folder = await temporaryFolder();
    const storeDir = join(folder.path, "store");
    {
      await using server = await startNatsServer({ storeDir });
      expect(server.storeDir).toBe(storeDir);
    }
    expect(await readdir(storeDir)).toContain("jetstream");
  });

  test("serves its monitoring pages where that was asked for", async () => {
    await using server = await startNatsServer({ monitoring: true });
    const response = await fetch(`${server.monitoringUrl}/healthz`);
    expect(await response.json()).toEqual({ status: "ok" });
  });
});

describe("a server that does not come up", () => {
  test("fails at once with what it said, and leaves nothing", async () => {
    const before = await ourTemporaryFolders();
    const startedAt = performance.now();
    await expect(startNatsServer({ configuration: "nonsense {{" })).rejects.toThrow(/Parse error/);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(await ourTemporaryFolders()).toEqual(before);
  });

  test("fails with the server's log when its port is taken", async () => {
    await using first = await startNatsServer();
    await expect(startNatsServer({ port: first.port })).rejects.toThrow(/address already in use/);
  });

  test("fails when there is no such program", async () => {
    await expect(startNatsServer({ binary: "/nowhere/nats-server" })).rejects.toThrow(/ended before it listened/);
  });
});

describe("finding a server", () => {
  test("the one that is named is taken, whatever else there is", async () => {
    await using folder = await temporaryFolder();
    const path = await programThatPrints(join(folder.path, "mine"), "nats-server: v2.99.0");
    expect(await findNatsServer({ NATS_SERVER_PATH: path })).toEqual({ path, version: "2.99.0" });
  });

  test("one that is named and too old, or no nats-server, is refused by name", async () => {
    await using folder = await temporaryFolder();
    const path = await programThatPrints(join(folder.path, "old"), "nats-server: v2.9.10");
    await expect(findNatsServer({ NATS_SERVER_PATH: path })).rejects.toThrow(/2\.9\.10, but 2\.12\.7 or newer/);
    await expect(findNatsServer({ NATS_SERVER_PATH: folder.path })).rejects.toThrow(/no nats-server that runs/);
  });

  test("one on the PATH is taken if it is new enough, else one from the cache", async () => {
    await using folder = await temporaryFolder();
    const old = await programThatPrints(join(folder.path, "old/nats-server"), "nats-server: v2.9.10");
    const recent = await programThatPrints(join(folder.path, "new/nats-server"), "nats-server: v2.99.0");
    const cached = join(folder.path, "taskwatch/nats-server/2.98.0/usr/sbin/nats-server");
    await programThatPrints(cached, "nats-server: v2.98.0");

    const everywhere = { XDG_CACHE_HOME: folder.path, PATH: `${join(old, "..")}:${join(recent, "..")}` };
    expect(await findNatsServer(everywhere)).toEqual({ path: recent, version: "2.99.0" });
    expect(await findNatsServer({ XDG_CACHE_HOME: folder.path })).toEqual({ path: cached, version: "2.98.0" });
  });
});

async function programThatPrints(path: string, text: string): Promise<string> {
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho '${text}'\n`);
  await chmod(path, 0o755);
  return path;
}

async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "taskwatch-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

async function ourTemporaryFolders(): Promise<string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith("taskwatch-nats-"));
}

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";

import { nkeys } from "@nats-io/transport-node";
import { expect, test } from "vitest";

import { connectNats, type Nats } from "../../../src/nats/connection.ts";
import { eventually } from "../../support/eventually.ts";
import { type NatsServer, startNatsServer, useNatsServer } from "../../support/nats-server.ts";

const server = useNatsServer();
const refusal = "authentication error";

test("a server that refuses for a while is tried again until it lets in, and that is told once", async () => {
  await using open = await startNatsServer();
  await using nats = await connectNats({ url: open.url, name: "test" });
  let reconnects = 0;
  nats.onReconnected(() => (reconnects += 1));
  await open.kill();
  await refuseTimes(3, open.port);
  await open.restart();
  await eventually("the connection to stand again", () => nats.connected);
  await nats.connection.flush();
  expect(reconnects).toBe(1);
  expect(await whetherClosed(nats.closed)).toBe(false);
});

test("credentials are read anew for each connection, and the last good ones serve while the file is broken", async () => {
  await using file = await openCredentials();
  const [first, second] = [user(), user()];
  await file.write(first.credentials);
  await using before = await startNatsServer({ configuration: allow(first) });
  await using nats = await connectNats({ url: before.url, name: "test", credsFile: file.path });
  await nats.connection.flush();

  await file.write("half a fi");
  const again = reconnected(nats);
  await before.restart();
  await again;

  await before.kill();
  await using after = await startNatsServer({ port: before.port, configuration: allow(second) });
  await eventually("the old credentials to be refused", async () => (await refusals(after)) > 0);
  const letIn = reconnected(nats);
  await file.write(second.credentials);
  await letIn;
  await expect(nats.connection.flush()).resolves.toBeUndefined();
});

test("credentials that are no credentials are told at once, with the name of the file", async () => {
  await using file = await openCredentials();
  const connecting = () => connectNats({ url: server.url, name: "test", credsFile: file.path });
  await expect(connecting()).rejects.toThrow(file.path);
  await file.write("nonsense");
  await expect(connecting()).rejects.toThrow(file.path);
});

test("a server that cannot be reached is named, without what is secret in its address", async () => {
  await using gone = await startNatsServer();
  await gone.kill();
  const address = `127.0.0.1:${gone.port}`;
  const refused = await connectNats({ url: `nats://me:secret@${address}`, name: "test" }).catch(String);
  expect(refused).toContain(`nats://${address}`);
  expect(refused).not.toContain("secret");
});

test("a connection that was closed for good says so, and one that was disposed of does not", async () => {
  await using closed = await connectNats({ url: server.url, name: "test" });
  expect(await whetherClosed(closed.closed)).toBe(false);
  await closed.connection.close();
  await expect(closed.closed).resolves.toBeUndefined();
  expect(closed.connected).toBe(false);

  const disposed = await connectNats({ url: server.url, name: "test" });
  await disposed[Symbol.asyncDispose]();
  await disposed.connection.closed();
  expect(await whetherClosed(disposed.closed)).toBe(false);
});

/** Runs a server that lets nobody in, until it has refused so many times. */
async function refuseTimes(times: number, port: number): Promise<void> {
  await using refusing = await startNatsServer({
    port,
    configuration: "authorization { user: nobody, password: here }",
  });
  await eventually(`${times} refusals`, async () => (await refusals(refusing)) >= times);
}

async function refusals(refusing: NatsServer): Promise<number> {
  return (await refusing.log()).split(refusal).length - 1;
}

function reconnected(nats: Nats): Promise<void> {
  return new Promise((resolve) => void nats.onReconnected(resolve));
}

/** Whether it has resolved by the next turn of the event loop. */
function whetherClosed(closed: Promise<unknown>): Promise<boolean> {
  return Promise.race([closed.then(() => true), setImmediate(false)]);
}

interface User {
  readonly publicKey: string;
  /** The text of a credentials file. */
  readonly credentials: string;
}

function user(): User {
  const pair = nkeys.createUser();
  const block = (name: string, text: string) => `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`;
  const seed = new TextDecoder().decode(pair.getSeed());
  // A server that knows keys, and no issuer, does not look at the JWT.
  const credentials = `${block("NATS USER JWT", "unread")}\n${block("USER NKEY SEED", seed)}`;
  return { publicKey: pair.getPublicKey(), credentials };
}

function allow({ publicKey }: User): string {
  return `authorization { users: [{ nkey: ${publicKey} }] }`;
}

async function openCredentials() {
  const folder = await mkdtemp(join(tmpdir(), "taskwatch-credentials-"));
  const path = join(folder, "user.creds");
  return {
    path,
    write: (text: string) => writeFile(path, text),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { type JetStreamClient, jetstream, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  type NodeConnectionOptions,
} from "@nats-io/transport-node";

import { createLeaderReads, type LeaderReads } from "./leader-reads.ts";
import { createPublisher, type Publisher, type WriteObserver } from "./publisher.ts";

/** The oldest nats-server that Taskwatch runs on: scheduled messages, per-message TTL, and known data-loss fixes. */
export const minimumServerVersion = "2.12.7";

/** How to reach NATS. */
export interface NatsOptions {
  /** One or more servers, separated by commas, such as `nats://127.0.0.1:4222`. */
  readonly url: string;
  /** Shown in the server's monitoring. */
  readonly name: string;
  /** A credentials file (JWT and seed). It is read anew for each connection, so that credentials can be rotated. */
  readonly credsFile?: string | undefined;
  /** Where replies are received; give each identity its own, so that no other may read them. Default `_INBOX`. */
  readonly inboxPrefix?: string | undefined;
  /** How long a JetStream request may take. Default 5 s. */
  readonly requestTimeoutMs?: number;
  /** Is told of the connection and of each write. */
  readonly observer?: (NatsObserver & WriteObserver) | undefined;
}

/** Is told when the connection was made again. */
export interface NatsObserver {
  natsReconnected(): void;
}

/** A connection to NATS, and what is done over it. */
export interface Nats extends AsyncDisposable {
  readonly connection: NatsConnection;
  readonly jetStream: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly publisher: Publisher;
  readonly leaderReads: LeaderReads;
  /** Whether the connection stands. */
  readonly connected: boolean;
  /**
   * Resolves once the connection was closed for good although this was not disposed of, with the reason if one is known: nothing
   * works any more, and nothing will. Pending for ever otherwise.
   */
  readonly closed: Promise<Error | undefined>;
  /** Calls back whenever the connection was made again, until the function that is returned is called. */
  onReconnected(listener: () => void): () => void;
  readonly requestTimeoutMs: number;
  /** Sends what is still to be sent, then closes. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** How long the server may take to say farewell. */
const drainTimeoutMs = 2_000;

function patience(): Promise<void> {
  return sleep(drainTimeoutMs, undefined, { ref: false });
}

/** NATS is there, but not one that Taskwatch can run on. */
export class UnsupportedServer extends Error {
  override readonly name = "UnsupportedServer";
}

/**
 * Connects, and keeps connected for good: a lost connection is tried again for ever, with jitter, also while the server refuses
 * the credentials, and a silent one is noticed within 20 s.
 *
 * The first connection is tried once with each server, for 10 s: a mistake in the settings is to be told, and whoever runs the
 * process starts it again. Throws an error that names the servers if none can be reached or lets this in, and
 * `UnsupportedServer` for one that is too old or has no JetStream.
 */
export async function connectNats(options: NatsOptions): Promise<Nats> {
  const { observer, requestTimeoutMs = 5_000 } = options;
  const connection = await connectFirst(options);
  try {
    assertServer(connection);
  } catch (error) {
    await connection.close();
    throw error;
  }
  const clientOptions = { timeout: requestTimeoutMs };
  const jetStream = jetstream(connection, clientOptions);
  const manager = await jetstreamManager(connection, { ...clientOptions, checkAPI: false });
  const publisher = createPublisher({ connection, observer, inboxPrefix: options.inboxPrefix });
  const listeners = new Set<() => void>();
  let connected = true;
  let disposed = false;
  const closed = Promise.withResolvers<Error | undefined>();
  void connection.closed().then((error) => {
    if (!disposed) closed.resolve(error ?? undefined);
  });

  const follow = async () => {
    for await (const status of connection.status()) {
      if (status.type === "disconnect" || status.type === "close") {
        connected = false;
      } else if (status.type === "reconnect" && !connected) {
        // It is said once for each attempt that came before.
        connected = true;
        observer?.natsReconnected();
        for (const listener of listeners) listener();
      }
    }
  };
  void follow();

  return {
    connection,
    jetStream,
    manager,
    publisher,
    leaderReads: createLeaderReads(manager),
    requestTimeoutMs,
    closed: closed.promise,
    get connected() {
      return connected;
    },
    onReconnected(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async [Symbol.asyncDispose]() {
      disposed = true;
      // Draining waits for the server, which may be gone, or silent.
      if (connected) await Promise.race([connection.drain().catch(() => undefined), patience()]);
      publisher.close();
      await connection.close();
    },
  };
}

async function connectFirst(options: NatsOptions): Promise<NatsConnection> {
  const connecting = connectionOptions(options);
  try {
    return await connect(connecting);
  } catch (error) {
    const servers = options.url.replaceAll(/[^/,\s]*@/g, "");
    throw new Error(`cannot connect to NATS at ${servers}: ${messageOf(error)}`, { cause: error });
  }
}

function connectionOptions({ url, name, credsFile, inboxPrefix }: NatsOptions): NodeConnectionOptions {
  return {
    servers: url.split(",").map((server) => server.trim()),
    name,
    maxReconnectAttempts: -1,
    // Else the second refusal in a row would close the connection for good.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    reconnectJitter: 500,
    reconnectJitterTLS: 1_000,
    pingInterval: 10_000,
    maxPingOut: 2,
    timeout: 10_000,
    // A stack trace for each request would cost more than the request.
    noAsyncTraces: true,
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
    ...(credsFile === undefined ? {} : { authenticator: fileAuthenticator(credsFile) }),
  };
}

/**
 * Reads the file at each use; what was good last serves while the file cannot be used, as while it is being replaced, because
 * a connection whose authenticator throws is closed for good. Throws at once if the file is not good to begin with.
 */
function fileAuthenticator(file: string): Authenticator {
  const read = (nonce?: string) => {
    const authenticator = credsAuthenticator(readFileSync(file));
    return { authenticator, answer: authenticator(nonce) };
  };
  let good: Authenticator;
  try {
    good = read().authenticator;
  } catch (error) {
    throw new Error(`cannot use the credentials for NATS in ${file}: ${messageOf(error)}`, { cause: error });
  }
  return (nonce) => {
    try {
      const { authenticator, answer } = read(nonce);
      good = authenticator;
      return answer;
    } catch {
      return good(nonce);
    }
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function assertServer({ info }: NatsConnection): void {
  const version = info?.version ?? "0.0.0";
  if (compareVersions(version, minimumServerVersion) < 0) {
    throw new UnsupportedServer(`nats-server ${version} is too old: Taskwatch needs ${minimumServerVersion} or newer`);
  }
  if (info?.jetstream !== true) {
    throw new UnsupportedServer(
      "nats-server runs without JetStream: start it with -js, or set jetstream in its configuration",
    );
  }
}

/** Orders `major.minor.patch`, ignoring what follows, such as `-RC1`. */
export function compareVersions(left: string, right: string): number {
  const parse = (version: string) => version.split("-", 1).join("").split(".").map(Number);
  const [a, b] = [parse(left), parse(right)];
  for (const index of [0, 1, 2]) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

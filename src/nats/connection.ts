import { readFileSync } from "node:fs";

import { type JetStreamClient, jetstream, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, credsAuthenticator, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node";

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
  /** A credentials file (JWT and seed). */
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
  /** Calls back whenever the connection was made again, until the function that is returned is called. */
  onReconnected(listener: () => void): () => void;
  readonly requestTimeoutMs: number;
  /** Sends what is still to be sent, then closes. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** NATS is there, but not one that Taskwatch can run on. */
export class UnsupportedServer extends Error {
  override readonly name = "UnsupportedServer";
}

/**
 * Connects, and keeps connected for good: a lost connection is tried again for ever, with jitter, and a silent one is
 * noticed within 20 s. Throws `UnsupportedServer` for a server that is too old or has no JetStream.
 */
export async function connectNats(options: NatsOptions): Promise<Nats> {
  const { observer, requestTimeoutMs = 5_000 } = options;
  const connection = await connect(connectionOptions(options));
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

  const follow = async () => {
    for await (const status of connection.status()) {
      if (status.type === "disconnect" || status.type === "close") {
        connected = false;
      } else if (status.type === "reconnect") {
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
    get connected() {
      return connected;
    },
    onReconnected(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async [Symbol.asyncDispose]() {
      // Draining waits for the server, which may be gone: then there is nothing to wait for.
      if (connected) await connection.drain().catch(() => connection.close());
      else await connection.close();
      publisher.close();
    },
  };
}

function connectionOptions({ url, name, credsFile, inboxPrefix }: NatsOptions): NodeConnectionOptions {
  return {
    servers: url.split(",").map((server) => server.trim()),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 500,
    reconnectJitterTLS: 1_000,
    pingInterval: 10_000,
    maxPingOut: 2,
    timeout: 10_000,
    // A stack trace for each request would cost more than the request.
    noAsyncTraces: true,
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
    ...(credsFile === undefined ? {} : { authenticator: credsAuthenticator(readFileSync(credsFile)) }),
  };
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

import type { Socket } from "node:net";

import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from "@grpc/grpc-js";

import { assertMayListen, formatListenAddress, parseListenAddress } from "../../listen-address.ts";
import type { Api } from "../api.ts";
import type { Calls } from "../calls.ts";
import { http2Options, type Limits, maxMessageBytes } from "../limits.ts";
import { raceGrace } from "../race-grace.ts";
import { createGrpcInterceptor } from "./grpc-calls.ts";
import { grpcServicesOf } from "./grpc-handlers.ts";
import { addHealth } from "./grpc-health.ts";
import { http2ServersOf, setHttp2Options } from "./grpc-internals.ts";
import { addReflection } from "./grpc-reflection.ts";

/** What `createGrpcServer` needs. */
export interface GrpcServerOptions {
  readonly api: Api;
  /** `host:port`; port 0 for any free one. */
  readonly address: string;
  /** PEM. Plain text if unset. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined;
  /** Whether tools may ask for the schema; true if unset. */
  readonly reflection?: boolean | undefined;
  /** What the health service says until `setServing` is called; true if unset. */
  readonly serving?: boolean | undefined;
}

/** A listener of native gRPC. */
export interface GrpcServer extends AsyncDisposable {
  /** `host:port`, as bound. */
  readonly address: string;
  readonly port: number;
  /** What the health service says. */
  setServing(serving: boolean): void;
  /**
   * Stops: says NOT_SERVING, takes no further connections and calls, tells clients to go elsewhere, lets the calls that
   * are under way end for up to `graceMs`, then cuts them.
   */
  drain(graceMs: number): Promise<void>;
  /** Cuts everything now. Idempotent. */
  close(): Promise<void>;
}

/** Makes a listener of native gRPC, with health and reflection. Rejects if it cannot or must not listen there. */
export async function createGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { api, address, tls } = options;
  assertMayListen(address, api.principals);
  // It would write to standard error, and what it writes may quote headers.
  setLogVerbosity(logVerbosity.NONE);
  const calls = api.createCalls();
  const server = createServer(api.limits, calls);
  for (const { definition, handlers } of grpcServicesOf(api)) server.addService(definition, handlers);
  const health = addHealth(server, options.serving ?? true);
  if (options.reflection ?? true) addReflection(server);
  const port = await bind(server, address, credentialsOf(tls));
  const { sockets, closed } = track(server, api.limits);

  let draining: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    server.forceShutdown();
    for (const socket of sockets) socket.destroy();
    await raceGrace(Promise.all([closed, calls.drain()]), cutTimeoutMs);
  };
  return {
    address: formatListenAddress({ host: parseListenAddress(address).host, port }),
    port,
    setServing: (serving) => health.setServing(serving),
    drain(graceMs) {
      draining ??= (async () => {
        health.drain();
        // Sends GOAWAY at once, and cuts no stream that is open.
        const shutDown = tryShutdown(server);
        if (await raceGrace(calls.drain(), graceMs)) await raceGrace(shutDown, cutTimeoutMs);
        await close();
      })();
      return draining;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** What is cut is gone in no time. */
const cutTimeoutMs = 1_000;

function createServer(limits: Limits, calls: Calls): Server {
  const server = new Server({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
    "grpc.max_concurrent_streams": limits.maxStreamsPerConnection,
    "grpc.keepalive_time_ms": limits.pingIntervalMs,
    "grpc.keepalive_timeout_ms": limits.pingTimeoutMs,
    "grpc.max_connection_idle_ms": limits.idleTimeoutMs,
    "grpc.max_connection_age_ms": limits.maxConnectionAgeMs,
    "grpc.max_connection_age_grace_ms": limits.maxConnectionGraceMs,
    // It counts what our own metrics count, and costs as much as a call of ours does.
    "grpc.enable_channelz": 0,
    interceptors: [createGrpcInterceptor(calls)],
  });
  setHttp2Options(server, http2Options(limits));
  return server;
}

function credentialsOf(tls: GrpcServerOptions["tls"]): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }]);
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error === null) resolve(port);
      else reject(new Error(`cannot listen on ${address}`, { cause: error }));
    });
  });
}

/** Bounds the connections, and keeps those that have no session yet, which grpc-js does not know of. */
function track(
  server: Server,
  limits: Limits,
): { readonly sockets: ReadonlySet<Socket>; readonly closed: Promise<unknown> } {
  const sockets = new Set<Socket>();
  const closed = http2ServersOf(server).map((http2Server) => {
    http2Server.maxConnections = limits.maxConnections;
    http2Server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    return new Promise((resolve) => {
      http2Server.once("close", resolve);
    });
  });
  return { sockets, closed: Promise.all(closed) };
}

function tryShutdown(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // It fails only if it was shut down before, which is as good.
    server.tryShutdown(() => resolve());
  });
}

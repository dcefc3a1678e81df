import { once } from "node:events";
import { createServer } from "node:http";
import { createSecureServer } from "node:http2";
import type { AddressInfo, Server as NetServer } from "node:net";

import { assertMayListen, formatListenAddress, parseListenAddress } from "../../listen-address.ts";
import type { Api } from "../api.ts";
import { http2Options, type Limits } from "../limits.ts";
import { raceGrace } from "../race-grace.ts";
import { createCors } from "./cors.ts";
import { superviseConnections } from "./http-connections.ts";
import { createHttpExchange, type HttpRequest } from "./http-exchange.ts";
import type { HttpResponse } from "./http-response.ts";

/** What `createHttpServer` needs. */
export interface HttpServerOptions {
  readonly api: Api;
  /** `host:port`; port 0 for any free one. */
  readonly address: string;
  /** PEM. With it HTTP/2 and HTTP/1.1 are spoken; without, HTTP/1.1 in plain text. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined;
  /** The origins whose pages may call; none if unset. */
  readonly corsOrigins?: readonly string[] | undefined;
}

/** A listener of Connect, gRPC-Web and JSON over HTTP. */
export interface HttpServer extends AsyncDisposable {
  /** `host:port`, as bound. */
  readonly address: string;
  readonly port: number;
  /**
   * Stops: takes no further connections and calls, lets the calls that are under way end for up to `graceMs`, then cuts
   * them.
   */
  drain(graceMs: number): Promise<void>;
  /** Cuts everything now. Idempotent. */
  close(): Promise<void>;
}

/** Makes a listener of Connect, gRPC-Web and JSON over HTTP. Rejects if it cannot or must not listen there. */
export async function createHttpServer({ api, address, tls, corsOrigins }: HttpServerOptions): Promise<HttpServer> {
  assertMayListen(address, api.principals);
  const { host, port } = parseListenAddress(address);
  const calls = api.createCalls();
  const exchange = createHttpExchange({
    api,
    calls,
    cors: createCors(corsOrigins ?? []),
    beforeHead: (request, response) => connections.retire(request, response),
  });
  const server = createNodeServer(api.limits, tls, exchange);
  const connections = superviseConnections(server, api.limits);
  server.listen(port, host);
  await once(server, "listening");
  const closed = once(server, "close");

  let draining: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    server.close();
    connections.destroy();
    await raceGrace(Promise.all([closed, calls.drain()]), cutTimeoutMs);
  };
  const bound = server.address() as AddressInfo;
  return {
    address: formatListenAddress({ host, port: bound.port }),
    port: bound.port,
    drain(graceMs) {
      draining ??= (async () => {
        server.close();
        connections.drain();
        // The last answer of a connection says that it ends; its client may take a moment to do so.
        if (await raceGrace(calls.drain(), graceMs)) await raceGrace(closed, cutTimeoutMs);
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

type Listener = (request: HttpRequest, response: HttpResponse) => void;

function createNodeServer(limits: Limits, tls: HttpServerOptions["tls"], listener: Listener): NetServer {
  const http1 = {
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.requestTimeoutMs,
    // The call itself answers a request that is too slow; this is for clients that go on after the answer.
    requestTimeout: 2 * limits.requestTimeoutMs,
    connectionsCheckingInterval: Math.min(5_000, limits.requestTimeoutMs),
    keepAliveTimeout: limits.idleTimeoutMs,
    keepAlive: true,
    noDelay: true,
  };
  if (tls === undefined) return createServer(http1, listener);
  return createSecureServer(
    { ...http2Options(limits), ...http1, http1Options: http1, cert: tls.cert, key: tls.key, allowHTTP1: true },
    listener,
  );
}

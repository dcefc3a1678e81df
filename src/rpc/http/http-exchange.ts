import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";

import { createContextValues } from "@connectrpc/connect";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";

import { TaskError } from "../../task/errors.ts";
import { requestUnreadable } from "../answers/errors.ts";
import type { Api } from "../api.ts";
import type { Call, Calls } from "../calls.ts";
import type { Protocol } from "../observer.ts";
import { errorResponse, libraryError } from "./connect-errors.ts";
import { type ConnectCall, connectCallKey, type ConnectRoute, createConnectRoutes } from "./connect-routes.ts";
import type { Cors } from "./cors.ts";
import { createHttpWriter, type HttpResponse, type HttpWriter, type HttpWriterOptions } from "./http-response.ts";

/** A request of HTTP/1.1 or HTTP/2. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;

/** What `createHttpExchange` needs. */
export interface HttpExchangeOptions {
  readonly api: Api;
  readonly calls: Calls;
  readonly cors: Cors;
  /** Called before the head of each answer is written. */
  beforeHead(request: HttpRequest, response: HttpResponse): void;
}

/** Makes what answers the requests of an HTTP server: calls of the API in any of its protocols, and 404 for the rest. */
export function createHttpExchange(
  options: HttpExchangeOptions,
): (request: HttpRequest, response: HttpResponse) => void {
  const routes = createConnectRoutes(options.api);
  return (request, response) => {
    exchange(options, routes, { request, response }).catch((error: unknown) => {
      options.api.logger.error("request could not be answered", { error });
      response.destroy();
    });
  };
}

interface Pair {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
}

async function exchange(
  options: HttpExchangeOptions,
  routes: ReadonlyMap<string, ConnectRoute>,
  { request, response }: Pair,
): Promise<void> {
  const { calls, cors } = options;
  const { origin } = request.headers;
  response.setHeader("cache-control", "no-store");
  setHeaders(response, cors.headers(origin));
  const writerOptions: HttpWriterOptions = {
    stallTimeoutMs: options.api.limits.stallTimeoutMs,
    beforeHead: () => options.beforeHead(request, response),
  };
  const route = routes.get(pathOf(request));
  if (request.method === "OPTIONS") {
    setHeaders(response, cors.preflightHeaders(origin));
    await createHttpWriter(response, writerOptions).write({ status: 204 });
    return;
  }
  if (route === undefined) {
    const missing = errorResponse(new TaskError("NOT_IMPLEMENTED", "no such method"), "", 404);
    await createHttpWriter(response, writerOptions).write(missing);
    return;
  }
  await runCall(route, calls.start(route.method, protocolOf(request)), { request, response, writerOptions });
}

async function runCall(
  route: ConnectRoute,
  call: Call,
  { request, response, writerOptions }: Pair & { readonly writerOptions: HttpWriterOptions },
): Promise<void> {
  const current: ConnectCall = { call, settled: false };
  const writer = createHttpWriter(response, {
    ...writerOptions,
    onClose(sent) {
      if (sent) call.end();
      call.close();
      // The next request of the connection comes after what was not read of this one.
      request.resume();
    },
  });
  const answer = await answerOf(route, current, { request, response, writer });
  const delivery = await writer.write(answer);
  if (delivery !== "stalled") return;
  call.end(new TaskError("SLOW_READER", "client does not read"));
  writer.cut();
}

/** What the library makes of a request, or what is to be said instead. */
async function answerOf(
  { handle, method }: ConnectRoute,
  current: ConnectCall,
  pair: Pair & { readonly writer: HttpWriter },
): Promise<UniversalServerResponse> {
  const contentType = pair.request.headers["content-type"] ?? "";
  const refuse = (error: TaskError, status?: number): UniversalServerResponse => {
    current.call.end(error);
    return errorResponse(error, contentType, status);
  };
  const expired = Promise.withResolvers<TaskError>();
  current.call.onExpired = (when, error) => {
    if (when === "gone") pair.writer.cut();
    else if (!current.call.handled) expired.resolve(error);
  };
  const request = readHead(pair, current);
  if (request === undefined) return refuse(requestUnreadable("host is not valid"));
  const answer = await Promise.race([handle(request), expired.promise]);
  if (answer instanceof TaskError) return refuse(answer);
  if (current.settled) return answer;
  // A stream begins to be answered before it is.
  if (method.streaming && answer.status === 200) return answer;
  const error = await libraryError(answer);
  return refuse(error, answer.status >= 405 && answer.status !== 500 ? answer.status : undefined);
}

function readHead({ request, response }: Pair, current: ConnectCall): UniversalServerRequest | undefined {
  const values = createContextValues().set(connectCallKey, current);
  try {
    const head = universalRequestFromNodeRequest(request, response, undefined, values);
    // Stopping to read must not destroy what the answer is to be sent on.
    return { ...head, body: request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array> };
  } catch {
    // The host is the client's to choose, and need not make a URL.
    return undefined;
  }
}

function pathOf({ url = "" }: HttpRequest): string {
  const query = url.indexOf("?");
  return query === -1 ? url : url.slice(0, query);
}

function protocolOf({ headers }: HttpRequest): Protocol {
  return headers["content-type"]?.startsWith("application/grpc-web") === true ? "grpc_web" : "connect";
}

function setHeaders(response: HttpResponse, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
}

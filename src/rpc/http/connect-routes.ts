import { type DescMessage, type DescService, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import {
  ConnectError,
  type ContextKey,
  createConnectRouter,
  createContextKey,
  type HandlerContext,
  type Interceptor,
  type ServiceImpl,
} from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import type { UniversalHandler } from "@connectrpc/connect/protocol";

import {
  type WatchStatusRequest,
  type WatchStatusResponse,
  WatchStatusResponseSchema,
} from "../../gen/taskwatch/v1/task_service_pb.ts";
import { toTaskError } from "../../task/errors.ts";
import { encodeWatchEvent } from "../answers/encode.ts";
import { connectErrorFrom, taskErrorFromLibrary } from "../answers/errors.ts";
import type { Api } from "../api.ts";
import type { Call } from "../calls.ts";
import { maxMessageBytes } from "../limits.ts";
import { type Method, methods, services } from "../methods.ts";
import type { OpenWatch } from "../watches.ts";

/** A call on its way through the Connect library. */
export interface ConnectCall {
  readonly call: Call;
  /** Whether our code has answered or refused it; until then the library has made whatever answer there is. */
  settled: boolean;
}

/** Where the library carries the call. */
export const connectCallKey: ContextKey<ConnectCall | undefined> = createContextKey<ConnectCall | undefined>(undefined);

/** A method, as Connect, gRPC-Web and plain JSON over HTTP reach it. */
export interface ConnectRoute {
  readonly method: Method;
  readonly handle: UniversalHandler;
}

/** The routes of the API, by path. */
export function createConnectRoutes(api: Api): ReadonlyMap<string, ConnectRoute> {
  const router = createConnectRouter({
    // Native gRPC has a listener of its own.
    grpc: false,
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: maxMessageBytes,
    // Answers are bounded before they become JSON, which may be several times larger.
    writeMaxBytes: 16 * maxMessageBytes,
    jsonOptions: { ignoreUnknownFields: false },
    binaryOptions: { readUnknownFields: false },
    requestGate: admit,
    interceptors: [explainStreamErrors],
  });
  for (const service of services) router.service(service, implementationOf(service.typeName, api));
  const byPath = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return new Map(
    methods.flatMap((method) => {
      const handle = byPath.get(method.path);
      return handle === undefined ? [] : [[method.path, { method, handle }] as const];
    }),
  );
}

function implementationOf(service: string, api: Api): Partial<ServiceImpl<DescService>> {
  const ofService = methods.filter((method) => method.service === service);
  const handlers = Object.fromEntries(
    ofService.map((method) => [
      method.desc.localName,
      method.streaming ? watchHandler(api) : unaryHandler(method, api),
    ]),
  );
  // What handlers of all methods have in common is less than the library asks of each.
  return handlers as unknown as Partial<ServiceImpl<DescService>>;
}

/** Runs before anything of the request is read. */
function admit(context: HandlerContext): void {
  const current = connectCallOf(context);
  try {
    current.call.admit({
      authorization: context.requestHeader.get("authorization") ?? undefined,
      traceparent: context.requestHeader.get("traceparent") ?? undefined,
      timeoutMs: context.timeoutMs(),
    });
  } catch (error) {
    throw fail(current, error);
  }
}

function unaryHandler({ desc }: Method, api: Api) {
  return async (request: MessageShape<DescMessage>, context: HandlerContext): Promise<MessageShape<DescMessage>> => {
    const current = connectCallOf(context);
    current.call.received();
    try {
      const answer = fromBinary(desc.output, await api.unary(current.call, request));
      current.settled = true;
      current.call.sent();
      return answer;
    } catch (error) {
      throw fail(current, error);
    }
  };
}

function watchHandler(api: Api) {
  return async function* watchStatus(
    request: WatchStatusRequest,
    context: HandlerContext,
  ): AsyncGenerator<WatchStatusResponse> {
    const current = connectCallOf(context);
    const { call } = current;
    call.received();
    try {
      const watch = await api.watchStatus(call, request);
      call.unbound();
      yield* eventsOf(watch, call);
      current.settled = true;
    } catch (error) {
      throw fail(current, error);
    }
  };
}

/**
 * What a watch has, one by one. The watch is closed as soon as the call is aborted, not only when the generator ends: while
 * the client does not read, nobody asks the generator for anything.
 */
async function* eventsOf(watch: OpenWatch, call: Call): AsyncGenerator<WatchStatusResponse> {
  let wake: (() => void) | undefined;
  const abort = (): void => {
    watch.close(toTaskError(call.signal.reason));
    wake?.();
  };
  call.signal.addEventListener("abort", abort, { once: true });
  watch.onReady = () => wake?.();
  try {
    for (;;) {
      call.signal.throwIfAborted();
      const event = watch.take();
      if (event !== undefined) {
        call.sent();
        yield fromBinary(WatchStatusResponseSchema, encodeWatchEvent(event));
        continue;
      }
      if (watch.end === "ok") return;
      if (watch.end !== undefined) throw watch.end;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    call.signal.removeEventListener("abort", abort);
    watch.close();
  }
}

/** Reading the request of a stream is part of running it, for the library: what it throws passes here. */
const explainStreamErrors: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    const current = request.contextValues.get(connectCallKey);
    if (!request.stream || current === undefined || current.settled) throw error;
    const { code, rawMessage } = ConnectError.from(error);
    throw fail(current, taskErrorFromLibrary({ code, message: rawMessage, stage: "request", cause: error }));
  }
};

function connectCallOf(context: HandlerContext): ConnectCall {
  const current = context.values.get(connectCallKey);
  if (current === undefined) throw new Error("request came by no listener of ours");
  return current;
}

function fail(current: ConnectCall, caught: unknown): ConnectError {
  const error = toTaskError(caught);
  current.settled = true;
  current.call.end(error);
  return connectErrorFrom(error);
}

import { constants, type ServerHttp2Stream } from "node:http2";

import {
  Metadata,
  type ServerInterceptor,
  type ServerInterceptingCallInterface,
  status as grpcStatus,
  type ServerMethodDefinition,
  type StatusObject,
} from "@grpc/grpc-js";

import { type TaskError, toTaskError } from "../../task/errors.ts";
import { codeOf, messageOf, statusBytes, taskErrorFromLibrary } from "../answers/errors.ts";
import type { Call, Calls } from "../calls.ts";
import { methodOfPath } from "../methods.ts";
import { http2StreamOf } from "./grpc-internals.ts";

/** A call, as the handler of its method finds it. */
export interface GrpcCall {
  readonly call: Call;
  /** Below grpc-js. */
  readonly stream: ServerHttp2Stream;
}

/** The call that came with this metadata. */
export function grpcCallOf(metadata: Metadata): GrpcCall {
  return metadata.getOpaque(callKey) as GrpcCall;
}

/** An error as a gRPC status. */
export function grpcStatusOf(error: TaskError): StatusObject {
  const metadata = new Metadata();
  metadata.set(detailsHeader, Buffer.from(statusBytes(error)));
  return { code: codeOf(error) as number, details: messageOf(error), metadata };
}

/**
 * Starts and admits calls of the API before their requests are read, and sees to it that what grpc-js answers by itself
 * has details like everything else. Calls of other services (health, reflection) go by.
 *
 * Changes the calls that it is given instead of wrapping them, which costs several times as much.
 */
export function createGrpcInterceptor(calls: Calls): ServerInterceptor {
  const intercept = (definition: ServerMethodDefinition<unknown, unknown>, base: GrpcBaseCall): GrpcBaseCall => {
    const method = methodOfPath(definition.path);
    if (method === undefined) return base;
    const call = calls.start(method, "grpc");
    const stream = http2StreamOf(base);
    if (stream.closed || stream.destroyed) call.close();
    else stream.once("close", () => call.close());
    completeStatuses(base, call);
    admitFirst(base, { call, stream });
    call.onExpired = (when, error) => {
      if (when === "gone") stream.close(constants.NGHTTP2_CANCEL);
      else refuse(base, call, error);
    };
    return base;
  };
  return intercept as ServerInterceptor;
}

type GrpcBaseCall = ServerInterceptingCallInterface;

const callKey = "taskwatch.call";
const detailsHeader = "grpc-status-details-bin";

/** Lets the handler see nothing of the call, and nothing of the request be read, before it is admitted. */
function admitFirst(base: GrpcBaseCall, grpcCall: GrpcCall): void {
  const { call } = grpcCall;
  const start = base.start.bind(base);
  base.start = (listener) =>
    start({
      onReceiveMetadata(metadata) {
        try {
          // The client's deadline is kept by grpc-js.
          call.admit({
            authorization: textOf(metadata, "authorization"),
            traceparent: textOf(metadata, "traceparent"),
            timeoutMs: undefined,
          });
        } catch (error) {
          refuse(base, call, toTaskError(error));
          return;
        }
        metadata.setOpaque(callKey, grpcCall);
        listener.onReceiveMetadata(metadata);
      },
      onReceiveMessage: (message) => listener.onReceiveMessage(message),
      onReceiveHalfClose: () => listener.onReceiveHalfClose(),
      onCancel: () => listener.onCancel(),
    });
}

function refuse(base: GrpcBaseCall, call: Call, error: TaskError): void {
  call.end(error);
  base.sendStatus(grpcStatusOf(error));
}

/**
 * grpc-js calls this very method also for the statuses that are its own: a message that is too large or cannot be
 * decompressed, a deadline. Interceptors do not get to see those.
 */
function completeStatuses(base: GrpcBaseCall, call: Call): void {
  const sendStatus = base.sendStatus.bind(base);
  base.sendStatus = (status) => {
    if (status.code === grpcStatus.OK) {
      call.end();
      sendStatus(status);
      return;
    }
    if ((status.metadata?.get(detailsHeader).length ?? 0) > 0) {
      sendStatus(status);
      return;
    }
    const error = taskErrorFromLibrary({
      code: status.code as number,
      message: status.details,
      stage: call.handled ? "response" : "request",
    });
    call.end(error);
    sendStatus(grpcStatusOf(error));
  };
}

function textOf(metadata: Metadata, name: string): string | undefined {
  const [value] = metadata.get(name);
  return typeof value === "string" ? value : undefined;
}

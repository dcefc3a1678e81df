import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import {
  Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type StatusObject,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";

import type { WatchStatusRequest } from "../../gen/taskwatch/v1/task_service_pb.ts";
import { toTaskError } from "../../task/errors.ts";
import { requestUnreadable } from "../answers/errors.ts";
import type { Api } from "../api.ts";
import type { Call } from "../calls.ts";
import { type Method, methods } from "../methods.ts";
import { grpcCallOf, grpcStatusOf } from "./grpc-calls.ts";
import { pumpWatch } from "./grpc-watch.ts";

/** A service, as a grpc-js server takes it. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly handlers: UntypedServiceImplementation;
}

/** The services of the API. */
export function grpcServicesOf(api: Api): GrpcService[] {
  const byService = Map.groupBy(methods, ({ service }) => service);
  return Array.from(byService.values(), (ofService) => ({
    definition: Object.fromEntries(ofService.map((method) => [method.name, definitionOf(method)])),
    handlers: Object.fromEntries(ofService.map((method) => [method.name, handlerOf(method, api)])),
  }));
}

/** Messages pass as the bytes they are: requests are read in the handler, which can say what is wrong with them. */
function definitionOf({ path, streaming }: Method): ServiceDefinition[string] {
  const pass = (bytes: Buffer): Buffer => bytes;
  return {
    path,
    requestStream: false,
    responseStream: streaming,
    requestDeserialize: pass,
    requestSerialize: pass,
    responseDeserialize: pass,
    responseSerialize: pass,
  };
}

function handlerOf(method: Method, api: Api): UntypedServiceImplementation[string] {
  return method.streaming ? watchHandler(method, api) : unaryHandler(method, api);
}

function unaryHandler({ desc }: Method, api: Api) {
  return ({ metadata, request }: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void => {
    const { call } = grpcCallOf(metadata);
    call.received();
    const answer = async () => api.unary(call, readRequest(desc.input, request));
    answer().then(
      (bytes) => {
        call.sent();
        respond(null, bytes);
      },
      (error: unknown) => respond(failed(call, error)),
    );
  };
}

function watchHandler({ desc }: Method, api: Api) {
  return (writable: ServerWritableStream<Buffer, Buffer>): void => {
    const grpcCall = grpcCallOf(writable.metadata);
    const { call } = grpcCall;
    call.received();
    // At once, so that the client knows that somebody is there.
    writable.sendMetadata(new Metadata());
    const open = async () => api.watchStatus(call, readRequest(desc.input, writable.request) as WatchStatusRequest);
    open().then(
      (watch) => {
        call.unbound();
        pumpWatch(watch, { ...grpcCall, writable, stallTimeoutMs: api.limits.stallTimeoutMs });
      },
      (error: unknown) => writable.emit("error", failed(call, error)),
    );
  };
}

function readRequest<Desc extends DescMessage>(desc: Desc, bytes: Buffer): MessageShape<Desc> {
  try {
    return fromBinary(desc, bytes, { readUnknownFields: false });
  } catch (error) {
    throw requestUnreadable(`not a ${desc.typeName}`, error);
  }
}

function failed(call: Call, caught: unknown): StatusObject {
  const error = toTaskError(caught);
  call.end(error);
  return grpcStatusOf(error);
}

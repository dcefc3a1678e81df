import { catalogue } from "./catalogue.ts";
import { duration, type Instruments } from "./instruments.ts";
import { grpcCodes, overflowLabel, protocols, type rpcTypes } from "./label-values.ts";

/** A method of the API. */
export interface RpcMethod {
  /** The full name of its service, such as `taskwatch.v1.TaskService`. */
  readonly service: string;
  readonly method: string;
  readonly type: (typeof rpcTypes)[number];
}

/** Which calls a figure is about. */
export interface RpcCall {
  readonly protocol: (typeof protocols)[number];
  readonly service: string;
  readonly method: string;
}

/** Counts calls, by the names that gRPC servers of other makes use as well. */
export interface RpcMetrics {
  /** Names the methods there are, and shows their series at 0. Calls of any other method count as `other`. */
  rpcMethods(methods: readonly RpcMethod[]): void;
  /** A call started. Each is to be handled once. */
  rpcStarted(call: RpcCall): void;
  /** A call ended with the gRPC status `code` (a number, 0 for OK), `seconds` after it started. */
  rpcHandled(call: RpcCall, end: { readonly code: number; readonly seconds: number }): void;
  /** Messages came from the client; 1 unless said otherwise. */
  rpcMessagesReceived(call: RpcCall, count?: number): void;
  /** Messages went to the client; 1 unless said otherwise. */
  rpcMessagesSent(call: RpcCall, count?: number): void;
}

/** Makes the RPC metrics. */
export function createRpcMetrics(instruments: Instruments): RpcMetrics {
  const started = instruments.counter(catalogue.rpcStarted);
  const handled = instruments.counter(catalogue.rpcHandled);
  const handling = instruments.histogram(catalogue.rpcHandling);
  const received = instruments.counter(catalogue.rpcMessagesReceived);
  const sent = instruments.counter(catalogue.rpcMessagesSent);
  const known = new Map<string, RpcMethod>();
  const labelsOf = ({ protocol, service, method }: RpcCall) => {
    const found = known.get(`${service}/${method}`) ?? otherMethod;
    return { grpc_type: found.type, grpc_service: found.service, grpc_method: found.method, protocol };
  };
  const showAtZero = (call: RpcCall): void => {
    const labels = labelsOf(call);
    for (const counter of [started, received, sent]) counter.inc(labels, 0);
    for (const code of codesShownFromTheStart) handled.inc({ ...labels, grpc_code: code }, 0);
  };
  return {
    rpcMethods(methods) {
      for (const method of methods) {
        known.set(`${method.service}/${method.method}`, method);
        for (const protocol of protocols) showAtZero({ ...method, protocol });
      }
    },
    rpcStarted: (call) => started.inc(labelsOf(call)),
    rpcHandled(call, { code, seconds }) {
      const labels = labelsOf(call);
      handled.inc({ ...labels, grpc_code: grpcCodes[code] ?? "Unknown" });
      handling.observe(labels, duration(seconds));
    },
    rpcMessagesReceived: (call, count = 1) => received.inc(labelsOf(call), count),
    rpcMessagesSent: (call, count = 1) => sent.inc(labelsOf(call), count),
  };
}

const otherMethod: RpcMethod = { service: overflowLabel, method: overflowLabel, type: "unary" };

/** Success, and what is never the caller's fault: shown at 0, so that a rate sees the first one. */
const codesShownFromTheStart = ["OK", "Unknown", "Internal", "Unavailable", "DataLoss"] as const;

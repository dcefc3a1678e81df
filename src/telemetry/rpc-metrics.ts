import { catalogue } from "./catalogue.ts";
import { closedCells, type Instruments, lazyCell, lazyClosedCells } from "./instruments.ts";
import { grpcCodes, overflowLabel, protocols, type rpcTypes } from "./label-values.ts";
import type { CounterCell, HistogramCell } from "./tally.ts";

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
  const makeCells = createMakeCells(instruments);
  const byMethod = new Map<string, Map<string, CellsByProtocol>>();
  const cellsOfOther = lazyCell(() =>
    closedCells(protocols, (protocol) =>
      makeCells({ service: overflowLabel, method: overflowLabel, type: "unary" }, protocol),
    ),
  );
  const cellsOf = ({ protocol, service, method }: RpcCall): Cells =>
    (byMethod.get(service)?.get(method) ?? cellsOfOther())(protocol);
  return {
    rpcMethods(methods) {
      for (const method of methods) {
        const ofService = byMethod.get(method.service) ?? new Map<string, CellsByProtocol>();
        byMethod.set(method.service, ofService);
        if (ofService.has(method.method)) continue;
        ofService.set(
          method.method,
          closedCells(protocols, (protocol) => makeCells(method, protocol)),
        );
      }
    },
    rpcStarted(call) {
      cellsOf(call).started.value += 1;
    },
    rpcHandled(call, { code, seconds }) {
      const cells = cellsOf(call);
      cells.handled(code).value += 1;
      cells.handling().observe(seconds);
    },
    rpcMessagesReceived(call, count = 1) {
      cellsOf(call).received.value += count;
    },
    rpcMessagesSent(call, count = 1) {
      cellsOf(call).sent.value += count;
    },
  };
}

interface Cells {
  readonly started: CounterCell;
  readonly received: CounterCell;
  readonly sent: CounterCell;
  handled(code: number): CounterCell;
  handling(): HistogramCell;
}

type CellsByProtocol = (protocol: RpcCall["protocol"]) => Cells;

/** Success, and what is never the caller's fault: shown at 0, so that a rate sees the first one. */
const codesShownFromTheStart = ["OK", "Unknown", "Internal", "Unavailable", "DataLoss"] as const;

function createMakeCells(instruments: Instruments): (method: RpcMethod, protocol: string) => Cells {
  const started = instruments.counter(catalogue.rpcStarted);
  const handled = instruments.counter(catalogue.rpcHandled);
  const handling = instruments.histogram(catalogue.rpcHandling);
  const received = instruments.counter(catalogue.rpcMessagesReceived);
  const sent = instruments.counter(catalogue.rpcMessagesSent);
  return ({ service, method, type }, protocol) => {
    const labels = { grpc_type: type, grpc_service: service, grpc_method: method, protocol };
    const byCode = lazyClosedCells(grpcCodes, (code) => handled.cell({ ...labels, grpc_code: code }));
    for (const code of codesShownFromTheStart) byCode(code);
    return {
      started: started.cell(labels),
      received: received.cell(labels),
      sent: sent.cell(labels),
      handled: (code) => byCode(grpcCodes[code] ?? "Unknown"),
      handling: lazyCell(() => handling.cell(labels)),
    };
  };
}

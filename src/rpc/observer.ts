/** The protocols of the API, as metrics name them. */
export type Protocol = "grpc" | "grpc_web" | "connect";

/** Which calls a figure is about. */
export interface RpcName {
  readonly protocol: Protocol;
  readonly service: string;
  readonly method: string;
}

/** The kinds of messages of a watch. */
export type WatchMessageKind = "snapshot" | "status" | "bookmark" | "removed" | "going_away";

/** Why a watch ended. */
export type WatchEndReason =
  | "completed"
  | "going_away"
  | "client_gone"
  | "slow_reader"
  | "credential_expired"
  | "store_replaced"
  | "window_passed"
  | "error";

/** Is told what happens on the listeners. */
export interface RpcObserver {
  rpcMethods(
    methods: readonly {
      readonly service: string;
      readonly method: string;
      readonly type: "unary" | "server_stream";
    }[],
  ): void;
  /** A call arrived. Each is handled once. */
  rpcStarted(call: RpcName): void;
  /** A call was answered with the gRPC status `code`. */
  rpcHandled(call: RpcName, end: { readonly code: number; readonly seconds: number }): void;
  rpcMessagesReceived(call: RpcName, count?: number): void;
  rpcMessagesSent(call: RpcName, count?: number): void;
  watchOpened(): void;
  watchClosed(reason: WatchEndReason): void;
  watchMessagesSent(kind: WatchMessageKind, count?: number): void;
  watchStatusesMerged(count: number): void;
}

/** Takes log lines. Messages are constant; what varies goes into fields. */
export interface RpcLogger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

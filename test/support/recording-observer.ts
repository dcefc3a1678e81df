import type { RpcName, RpcObserver, WatchEndReason, WatchMessageKind } from "../../src/rpc/observer.ts";

/** An observer that keeps what it is told. */
export interface RecordingObserver extends RpcObserver {
  readonly started: readonly RpcName[];
  readonly handled: readonly (RpcName & { readonly code: number })[];
  readonly watchEnds: readonly WatchEndReason[];
  readonly messages: Readonly<Partial<Record<WatchMessageKind, number>>>;
  readonly merged: number;
  /** How many watches are open. */
  readonly openWatches: number;
  readonly received: number;
  readonly sent: number;
}

/** Makes an observer for tests that look at what was counted. */
export function createRecordingObserver(): RecordingObserver {
  const started: RpcName[] = [];
  const handled: (RpcName & { readonly code: number })[] = [];
  const watchEnds: WatchEndReason[] = [];
  const messages: Partial<Record<WatchMessageKind, number>> = {};
  const counts = { merged: 0, openWatches: 0, received: 0, sent: 0 };
  return {
    started,
    handled,
    watchEnds,
    messages,
    get merged() {
      return counts.merged;
    },
    get openWatches() {
      return counts.openWatches;
    },
    get received() {
      return counts.received;
    },
    get sent() {
      return counts.sent;
    },
    rpcMethods: () => {},
    rpcStarted: (call) => started.push(call),
    rpcHandled: (call, { code }) => handled.push({ ...call, code }),
    rpcMessagesReceived(_call, count = 1) {
      counts.received += count;
    },
    rpcMessagesSent(_call, count = 1) {
      counts.sent += count;
    },
    watchOpened() {
      counts.openWatches += 1;
    },
    watchClosed(reason) {
      counts.openWatches -= 1;
      watchEnds.push(reason);
    },
    watchMessagesSent(kind, count = 1) {
      messages[kind] = (messages[kind] ?? 0) + count;
    },
    watchStatusesMerged(count) {
      counts.merged += count;
    },
  };
}

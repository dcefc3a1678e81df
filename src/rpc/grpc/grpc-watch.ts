import { constants } from "node:http2";

import type { ServerWritableStream } from "@grpc/grpc-js";

import { TaskError, toTaskError } from "../../task/errors.ts";
import { encodeWatchEvent } from "../answers/encode.ts";
import type { OpenWatch } from "../watches.ts";
import { type GrpcCall, grpcStatusOf } from "./grpc-calls.ts";

/** Where a watch goes. */
export interface WatchSink extends GrpcCall {
  readonly writable: ServerWritableStream<Buffer, Buffer>;
  /** How long the client may read nothing while there is something to read. */
  readonly stallTimeoutMs: number;
}

/**
 * Sends what a watch has to its client, as fast as the client reads and no faster: what it is too slow for stays in the
 * watch, where newer statuses replace older ones. Closes the watch as soon as it ends, or the client has gone.
 */
export function pumpWatch(watch: OpenWatch, { call, stream, writable, stallTimeoutMs }: WatchSink): void {
  let blocked = false;
  let over = false;
  let stallTimer: NodeJS.Timeout | undefined;

  const pump = (): void => {
    if (blocked || over) return;
    for (let event = watch.take(); event !== undefined; event = watch.take()) {
      call.sent();
      if (writable.write(encodeWatchEvent(event))) continue;
      blocked = true;
      awaitProgress();
      return;
    }
    if (watch.end !== undefined) finish(watch.end);
  };
  const awaitProgress = (): void => {
    const unread = writable.writableLength;
    clearTimeout(stallTimer);
    stallTimer = setTimeout(() => {
      if (writable.writableLength < unread) awaitProgress();
      else dropSlowReader();
    }, stallTimeoutMs);
  };
  const finish = (end: "ok" | TaskError): void => {
    over = true;
    watch.close();
    // What was written last may still be unread.
    awaitProgress();
    if (end === "ok") {
      writable.end();
      return;
    }
    call.end(end);
    writable.emit("error", grpcStatusOf(end));
  };
  const dropSlowReader = (): void => {
    over = true;
    call.end(new TaskError("SLOW_READER", "client does not read"));
    // A status would wait behind what is not read. Clients take this reset for RESOURCE_EXHAUSTED.
    stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  };
  const abort = (): void => {
    over = true;
    watch.close(toTaskError(call.signal.reason));
  };

  writable.on("drain", () => {
    blocked = false;
    clearTimeout(stallTimer);
    pump();
  });
  stream.once("close", () => clearTimeout(stallTimer));
  call.signal.addEventListener("abort", abort, { once: true });
  watch.onReady = pump;
  if (call.signal.aborted) abort();
  else pump();
}

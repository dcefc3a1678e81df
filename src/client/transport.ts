import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";

import type { WatchStatusRequest, WatchStatusResponse } from "../gen/taskwatch/v1/task_service_pb.ts";
import type { TaskwatchError } from "./taskwatch-error.ts";

/** How one unary call is made. */
export interface UnaryOptions {
  /** How long its answer is waited for. */
  readonly timeoutMs: number;
  /** Gives up at once; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Who is told what comes on a watch stream. */
export interface WatchStreamHandlers {
  onMessage(message: WatchStatusResponse): void;
  /** Called once, after the last message; undefined for OK. Never called after `cancel`. */
  onEnd(error: TaskwatchError | undefined): void;
}

/** A watch stream while it is open. */
export interface WatchStream {
  /** Stops messages from coming. A few that are here already may still be delivered. */
  pause(): void;
  resume(): void;
  /** Ends it now. */
  cancel(): void;
  /** Lets the server end it, which it is about to do, and ends it if that takes longer than a second. */
  release(): void;
}

/** How the client reaches the service. Rejects with a `TaskwatchError`. */
export interface Transport {
  unary<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    request: MessageShape<Input>,
    options: UnaryOptions,
  ): Promise<MessageShape<Output>>;
  /** The same for a request that is encoded already, and an answer that is not to be decoded. */
  unaryBytes(method: DescMethodUnary, request: Uint8Array, options: UnaryOptions): Promise<Uint8Array>;
  watchStatus(request: WatchStatusRequest, handlers: WatchStreamHandlers): WatchStream;
  /** Ends every call. Idempotent. */
  close(): void;
}

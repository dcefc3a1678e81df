import type { ServerResponse } from "node:http";
import { constants, Http2ServerResponse } from "node:http2";

import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

/** A response of HTTP/1.1 or HTTP/2. */
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** How an answer went out: all of it, or not all because the client has gone, or because it does not read. */
export type Delivery = "sent" | "closed" | "stalled";

/** Writes an answer as fast as the client reads it. */
export interface HttpWriter {
  /**
   * Writes an answer; once. Unlike the library's own function it notices while it waits that the client has gone, so that
   * whatever makes the answer is always told to stop, and it does not wait for ever.
   */
  write(answer: UniversalServerResponse): Promise<Delivery>;
  /** Takes the connection from the client, or where others share the connection, its stream. */
  cut(): void;
}

/** What `createHttpWriter` needs. */
export interface HttpWriterOptions {
  /** How long the client may read nothing while there is something to read. */
  readonly stallTimeoutMs: number;
  /** Called before the head is written, for headers that depend on the moment. */
  beforeHead?(): void;
  /** Called once, when nothing more can be written; `sent` tells whether all of the answer was. */
  onClose?(sent: boolean): void;
}

/** Makes the writer of a response, before anything else is done with it. */
export function createHttpWriter(to: HttpResponse, options: HttpWriterOptions): HttpWriter {
  const stream = to instanceof Http2ServerResponse ? to.stream : undefined;
  // What is used here is the same for both, though their types are not.
  const response = to as ServerResponse;
  let state: "open" | "sent" | "closed" = "open";
  let wake: ((delivery: Delivery) => void) | undefined;
  response.on("drain", () => wake?.("sent"));
  response.once("finish", () => {
    // In HTTP/2 this is said of streams that were reset as well.
    if ((stream?.rstCode ?? constants.NGHTTP2_NO_ERROR) === constants.NGHTTP2_NO_ERROR) state = "sent";
  });
  response.once("close", () => {
    if (state === "open") state = "closed";
    wake?.(state);
    options.onClose?.(state === "sent");
  });
  const wait = (): Promise<Delivery> =>
    new Promise((resolve) => {
      const timer = setTimeout(() => resolve("stalled"), options.stallTimeoutMs);
      wake = (delivery) => {
        clearTimeout(timer);
        resolve(delivery);
      };
    });
  // Its close follows; without a listener it would end the process.
  response.on("error", () => {});
  const isOpen = (): boolean => state === "open" && !response.destroyed;

  const writeAll = async (answer: UniversalServerResponse, chunks: Chunks | undefined): Promise<Delivery> => {
    if (!isOpen()) return "closed";
    for (const [name, value] of answer.header ?? []) response.setHeader(name, value);
    options.beforeHead?.();
    response.writeHead(answer.status);
    for (let next = await chunks?.next(); next?.done === false; next = await chunks?.next()) {
      if (!isOpen()) return "closed";
      if (response.write(next.value)) continue;
      const waited = await wait();
      if (waited !== "sent") return waited;
    }
    if (!isOpen()) return "closed";
    response.end();
    return wait();
  };
  return {
    async write(answer) {
      const chunks = answer.body?.[Symbol.asyncIterator]();
      try {
        return await writeAll(answer, chunks);
      } finally {
        // Not awaited: what is asked to stop may be waiting for something itself, which the end of the call ends.
        chunks?.return?.().catch(() => {});
      }
    },
    cut() {
      // Clients take this reset for RESOURCE_EXHAUSTED.
      if (stream === undefined) response.destroy();
      else stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    },
  };
}

type Chunks = AsyncIterator<Uint8Array>;

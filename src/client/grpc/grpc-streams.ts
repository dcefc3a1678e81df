import type { Client, ClientReadableStream, ServiceError, StatusObject } from "@grpc/grpc-js";

import type { WatchStream } from "../transport.ts";

/** Who is told what comes on a stream. */
export interface StreamHandlers<Message> {
  onMessage(message: Message): void;
  /** Called once, after the last message; undefined for OK. Never called after `cancel`. */
  onEnd(error: ServiceError | undefined): void;
}

/** A connection and how many streams are on it. */
interface Connection {
  readonly client: Client;
  streams: number;
}

/** Half of what the service allows: a stream more would wait, unseen, for another one to end. */
const maxStreamsPerConnection = 500;
/** How long the end of a stream whose last message is here is waited for. */
const releaseMs = 1_000;

/** Streams that stay open, on connections of their own, so that they are never in the way of a unary call. */
export class GrpcStreams {
  readonly #connect: () => Client;
  readonly #connections = new Set<Connection>();
  readonly #open = new Set<WatchStream>();

  constructor(connect: () => Client) {
    this.#connect = connect;
  }

  open<Message>(
    start: (client: Client) => ClientReadableStream<Message>,
    handlers: StreamHandlers<Message>,
  ): WatchStream {
    const connection = this.#connection();
    connection.streams += 1;
    const stream = openStream(start(connection.client), handlers, () => {
      this.#open.delete(stream);
      this.#leave(connection);
    });
    this.#open.add(stream);
    return stream;
  }

  /** Cancels all streams and closes all connections. */
  close(): void {
    for (const stream of this.#open) stream.cancel();
    for (const { client } of this.#connections) client.close();
    this.#connections.clear();
  }

  #connection(): Connection {
    for (const connection of this.#connections) {
      if (connection.streams < maxStreamsPerConnection) return connection;
    }
    const connection = { client: this.#connect(), streams: 0 };
    this.#connections.add(connection);
    return connection;
  }

  /** Keeps the last connection for the next stream. */
  #leave(connection: Connection): void {
    connection.streams -= 1;
    if (connection.streams > 0 || this.#connections.size === 1) return;
    if (this.#connections.delete(connection)) connection.client.close();
  }
}

/** `onGone` is called once, when nothing of the stream is left. */
function openStream<Message>(
  call: ClientReadableStream<Message>,
  handlers: StreamHandlers<Message>,
  onGone: () => void,
): WatchStream {
  let listening = true;
  let releaseTimer: NodeJS.Timeout | undefined;
  let failure: ServiceError | undefined;
  call.on("data", (message: Message) => {
    if (listening) handlers.onMessage(message);
  });
  // The status event that follows says the same; an error event that nobody hears would end the process.
  call.on("error", (error: ServiceError) => {
    failure = error;
  });
  call.on("status", (_status: StatusObject) => {
    clearTimeout(releaseTimer);
    // The status may overtake messages that are held back by a pause; each read hands one on.
    while (call.read() !== null);
    onGone();
    if (listening) handlers.onEnd(failure);
    listening = false;
  });
  return {
    pause: () => void call.pause(),
    resume: () => void call.resume(),
    cancel: () => {
      listening = false;
      call.cancel();
    },
    release: () => {
      listening = false;
      call.resume();
      // Nobody waits for it, so it must not keep the process alive.
      releaseTimer = setTimeout(() => call.cancel(), releaseMs).unref();
    },
  };
}

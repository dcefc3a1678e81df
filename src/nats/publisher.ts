/**
 * Acknowledged writes to JetStream, pipelined: many are under way at once over one reply subscription, each named by the
 * last token of its reply subject. A write costs no timer and, unless it fails, no JSON object.
 *
 * How a write may end:
 *
 * - its stream sequence: it is stored;
 * - `WriteConflict`: refused, because the subject was not at the expected sequence;
 * - `TaskError` (STORE_UNAVAILABLE, STORE_FULL): refused or never sent, so certainly not stored;
 * - `OutcomeUnknown`: sent, and no answer came. It may be stored, and may still come to be.
 */
import { createInbox, type Msg, type MsgHdrs, type NatsConnection, type Subscription } from "@nats-io/transport-node";

import { TaskError } from "../task/errors.ts";
import { OutcomeUnknown, storeUnavailable, WriteConflict, writeErrorFromCode } from "./errors.ts";

/** One message to store. */
export interface Write {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers?: MsgHdrs;
}

/** How writes ended, for counting. */
export type WriteResult = "ok" | "conflict" | "error" | "unknown";

/** Is told of each write. */
export interface WriteObserver {
  natsWrite(fact: { readonly result: WriteResult; readonly seconds: number }): void;
}

/** What a publisher needs and may be told. */
export interface PublisherOptions {
  readonly connection: NatsConnection;
  /** Where answers are received. Default `_INBOX`. */
  readonly inboxPrefix?: string | undefined;
  readonly observer?: WriteObserver | undefined;
  /** How many writes may be under way at once. Default 4,096; up to 16 times as many wait for a place. */
  readonly window?: number;
  /** How long an answer, or a place in the window, is waited for. Default 5 s. */
  readonly timeoutMs?: number;
}

/** Writes over one connection. */
export interface Publisher {
  /** Stores a message and returns its stream sequence. */
  publish(write: Write): Promise<number>;
  /** How many writes are under way. */
  readonly inFlight: number;
  /** Fails everything that is under way or waits, and ends. */
  close(): void;
}

interface Pending {
  readonly write: Write;
  readonly startMs: number;
  readonly resolve: (sequence: number) => void;
  readonly reject: (error: Error) => void;
}

/** A publisher over `connection`. */
export function createPublisher(options: PublisherOptions): Publisher {
  return new PipelinedPublisher(options);
}

class PipelinedPublisher implements Publisher {
  readonly #connection: NatsConnection;
  readonly #observer: WriteObserver | undefined;
  readonly #window: number;
  readonly #timeoutMs: number;
  readonly #replyPrefix: string;
  readonly #subscription: Subscription;
  readonly #timer: NodeJS.Timeout;
  /** In order of sending, hence of their time-outs. */
  readonly #sent = new Map<number, Pending>();
  /** In order of asking. A Map, because the first of an array is dear to remove. */
  readonly #waiting = new Map<number, Pending>();
  #nextId = 0;
  #connected = true;
  #closed = false;

  constructor({ connection, inboxPrefix, observer, window = 4_096, timeoutMs = 5_000 }: PublisherOptions) {
    this.#connection = connection;
    this.#observer = observer;
    this.#window = window;
    this.#timeoutMs = timeoutMs;
    this.#replyPrefix = `${createInbox(inboxPrefix)}.`;
    this.#subscription = connection.subscribe(`${this.#replyPrefix}*`, {
      callback: (error, message) => {
        if (error === null) this.#onReply(message);
      },
    });
    this.#timer = setInterval(() => this.#expire(), Math.min(250, timeoutMs)).unref();
    void this.#followConnection();
  }

  get inFlight(): number {
    return this.#sent.size;
  }

  publish(write: Write): Promise<number> {
    if (this.#closed) return Promise.reject(storeUnavailable(new Error("publisher is closed")));
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId = id + 1;
      const pending = { write, startMs: performance.now(), resolve, reject };
      if (this.#connected && this.#sent.size < this.#window) {
        this.#send(id, pending);
      } else if (this.#waiting.size < this.#window * 16) {
        this.#waiting.set(id, pending);
      } else {
        this.#fail(pending, storeUnavailable(new Error("too many writes wait for NATS")));
      }
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#subscription.unsubscribe();
    this.#forgetSent("publisher closed");
    for (const pending of this.#waiting.values()) this.#fail(pending, storeUnavailable(new Error("publisher closed")));
    this.#waiting.clear();
  }

  #send(id: number, pending: Pending): void {
    const { subject, data, headers } = pending.write;
    const reply = this.#replyPrefix + id.toString(36);
    try {
      this.#connection.publish(subject, data, headers === undefined ? { reply } : { reply, headers });
    } catch (error) {
      this.#fail(pending, storeUnavailable(error));
      return;
    }
    this.#sent.set(id, pending);
  }

  #onReply(message: Msg): void {
    const id = Number.parseInt(message.subject.slice(this.#replyPrefix.length), 36);
    const pending = this.#sent.get(id);
    if (pending === undefined) return;
    this.#sent.delete(id);
    this.#settle(pending, message);
    this.#refill();
  }

  #settle(pending: Pending, message: Msg): void {
    // "No responders": the stream has no leader now. Nobody received the write.
    if (message.headers?.code === 503) {
      this.#fail(pending, storeUnavailable(new Error(`no leader for ${pending.write.subject}`)));
      return;
    }
    const text = message.string();
    const sequence = sequenceFromAck(text);
    if (sequence === undefined) {
      this.#fail(pending, writeErrorFromAck(text));
      return;
    }
    this.#observe(pending, "ok");
    pending.resolve(sequence);
  }

  #refill(): void {
    if (this.#waiting.size === 0 || !this.#connected) return;
    for (const [id, pending] of this.#waiting) {
      if (this.#sent.size >= this.#window) return;
      this.#waiting.delete(id);
      this.#send(id, pending);
    }
  }

  #expire(): void {
    const oldestMs = performance.now() - this.#timeoutMs;
    for (const [id, pending] of this.#sent) {
      if (pending.startMs > oldestMs) break;
      this.#sent.delete(id);
      this.#fail(pending, new OutcomeUnknown("no answer to a write in time"));
    }
    for (const [id, pending] of this.#waiting) {
      if (pending.startMs > oldestMs) break;
      this.#waiting.delete(id);
      this.#fail(pending, storeUnavailable(new Error("write was not sent in time")));
    }
    this.#refill();
  }

  /** Answers to what was sent over a connection that is gone will not come. What was not sent waits for the next one. */
  async #followConnection(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === "disconnect") {
        this.#connected = false;
        this.#forgetSent("connection lost");
      } else if (status.type === "reconnect") {
        this.#connected = true;
        this.#refill();
      }
    }
  }

  #forgetSent(why: string): void {
    const sent = [...this.#sent.values()];
    this.#sent.clear();
    for (const pending of sent) this.#fail(pending, new OutcomeUnknown(why));
  }

  #fail(pending: Pending, error: Error): void {
    const result = error instanceof WriteConflict ? "conflict" : error instanceof OutcomeUnknown ? "unknown" : "error";
    this.#observe(pending, result);
    pending.reject(error);
  }

  #observe(pending: Pending, result: WriteResult): void {
    this.#observer?.natsWrite({ result, seconds: (performance.now() - pending.startMs) / 1_000 });
  }
}

/** Reads `{"stream":…,"seq":…}` without making an object of it; undefined for anything else. */
function sequenceFromAck(text: string): number | undefined {
  if (text.includes(`"error"`)) return undefined;
  const start = text.indexOf(`"seq":`);
  if (start === -1) return undefined;
  const sequence = Number.parseInt(text.slice(start + 6), 10);
  return sequence > 0 ? sequence : undefined;
}

function writeErrorFromAck(text: string): Error {
  try {
    const { error } = JSON.parse(text) as {
      readonly error?: { readonly err_code?: number; readonly description?: string };
    };
    return writeErrorFromCode(error?.err_code ?? 0, error?.description ?? "no description");
  } catch (cause) {
    return new TaskError("INTERNAL", "a write was answered with something that is no acknowledgement", { cause });
  }
}

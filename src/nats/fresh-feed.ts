/**
 * Tells of fresh tasks: those that have a job or a delayed message and no record yet.
 *
 * The server publishes what it stores on each queue's stream. That is at most once, so the sequences are watched: a gap, a
 * reconnect and the start are filled by reading the stream itself. Only lists depend on this feed; a task that is asked for
 * by its id is found on the stream.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { Msg } from "@nats-io/transport-node";

import type { FreshTask } from "../task/task.ts";
import type { Nats } from "./connection.ts";
import { apiCodes, hasApiCode } from "./errors.ts";
import { freshFromMessage } from "./jobs.ts";
import { jobEventSubjects, queueFromJobStream } from "./names.ts";
import { withPatience } from "./patience.ts";

/** Payloads come along when a stream is read; this bounds how much of them is under way at once. */
const readBatch = { messages: 256, bytes: 4 * 1024 * 1024 };

/** What a follower of fresh tasks is told. The same task may be told of more than once. */
export interface FreshFeedEvents {
  readonly onFresh: (task: FreshTask) => void;
  readonly onTrouble: (what: string, detail: string) => void;
}

/** A running feed. */
export interface FreshFeed {
  /** Resolves when every queue that existed at the start has been read once. */
  readonly ready: Promise<void>;
  stop(): void;
}

/** Follows all queues, those that come later included. */
export function followFresh(nats: Nats, events: FreshFeedEvents): FreshFeed {
  return new Follower(nats, events);
}

class Follower implements FreshFeed {
  readonly ready: Promise<void>;
  readonly #nats: Nats;
  readonly #events: FreshFeedEvents;
  readonly #stopping = new AbortController();
  /** The last sequence seen of each stream. */
  readonly #seen = new Map<string, number>();
  /** Streams being read, and from where to read again afterwards if more was missed meanwhile. */
  readonly #reading = new Map<string, number | undefined>();

  constructor(nats: Nats, events: FreshFeedEvents) {
    this.#nats = nats;
    this.#events = events;
    // Listening before reading: what is stored in between is told by one of the two.
    const subscription = nats.connection.subscribe(jobEventSubjects, {
      callback: (error, message) => {
        if (error === null) this.#onEvent(message);
        else events.onTrouble("subscription to queue events failed", error.message);
      },
    });
    this.#stopping.signal.addEventListener("abort", () => subscription.unsubscribe());
    this.ready = this.#readAll();
    void this.#followConnection();
  }

  stop(): void {
    this.#stopping.abort();
  }

  #onEvent(message: Msg): void {
    const stream = message.headers?.get("Nats-Stream") ?? "";
    const sequence = Number(message.headers?.get("Nats-Sequence"));
    const last = this.#seen.get(stream);
    if (!Number.isFinite(sequence) || queueFromJobStream(stream) === undefined) return;
    // A stream made anew starts at 1 again.
    if (last !== undefined && sequence > last + 1) this.#readLater(stream, last + 1);
    if (last === undefined && sequence > 1) this.#readLater(stream, 1);
    this.#seen.set(stream, sequence);
    this.#tell(message.headers?.get("Nats-Subject") ?? message.subject, message.headers);
  }

  #tell(subject: string, headers: Msg["headers"]): void {
    const fresh = freshFromMessage(subject, headers);
    if (fresh !== undefined) this.#events.onFresh(fresh);
  }

  async #readAll(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      const names = await withPatience(() => streamNames(this.#nats), { signal });
      for (const stream of names) {
        await this.#read(stream, 1);
        signal.throwIfAborted();
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#events.onTrouble("queues could not be read", String(error));
      await sleep(1_000, undefined, { signal }).catch(() => undefined);
      return this.#readAll();
    }
  }

  #readLater(stream: string, fromSequence: number): void {
    if (this.#reading.has(stream)) {
      this.#reading.set(stream, Math.min(fromSequence, this.#reading.get(stream) ?? fromSequence));
      return;
    }
    this.#reading.set(stream, undefined);
    const read = async () => {
      let from: number | undefined = fromSequence;
      while (from !== undefined) {
        await this.#read(stream, from);
        from = this.#reading.get(stream);
        this.#reading.set(stream, undefined);
      }
    };
    read()
      .catch((error: unknown) => {
        if (this.#stopping.signal.aborted) return;
        this.#events.onTrouble("missed queue events could not be read", String(error));
      })
      .finally(() => this.#reading.delete(stream));
  }

  async #read(stream: string, fromSequence: number): Promise<void> {
    const { signal } = this.#stopping;
    const info = await withPatience(() => this.#nats.manager.streams.info(stream).catch(noStream), { signal });
    if (info === undefined) return;
    let next = Math.max(fromSequence, info.state.first_seq);
    while (next <= info.state.last_seq) {
      const from = next;
      next = await withPatience(() => this.#readBatch(stream, from), { signal });
    }
    this.#seen.set(stream, Math.max(this.#seen.get(stream) ?? 0, info.state.last_seq));
  }

  /** Reads some messages from `from` on; returns where to read on. */
  async #readBatch(stream: string, from: number): Promise<number> {
    const { messages, bytes } = readBatch;
    const batch = await this.#nats.manager.direct.getBatch(stream, { seq: from, batch: messages, max_bytes: bytes });
    let next = Number.POSITIVE_INFINITY;
    for await (const message of batch) {
      this.#stopping.signal.throwIfAborted();
      this.#tell(message.subject, message.header);
      next = message.seq + 1;
    }
    return next;
  }

  async #followConnection(): Promise<void> {
    for await (const status of this.#nats.connection.status()) {
      if (this.#stopping.signal.aborted) return;
      if (status.type !== "reconnect") continue;
      for (const [stream, last] of this.#seen) this.#readLater(stream, last + 1);
    }
  }
}

async function streamNames(nats: Nats): Promise<string[]> {
  const names: string[] = [];
  for await (const name of nats.manager.streams.names(`job.>`)) {
    if (queueFromJobStream(name) !== undefined) names.push(name);
  }
  return names;
}

function noStream(error: unknown): undefined {
  if (hasApiCode(error, apiCodes.streamNotFound)) return undefined;
  throw error;
}

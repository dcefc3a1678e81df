/**
 * Tells of fresh tasks: those that have a job or a delayed message and no record yet.
 *
 * The server publishes what it stores on each queue's stream. That is at most once, so the sequences are watched: a gap is
 * filled by reading the stream itself. What no later message shows to be missing is found by comparing with the streams'
 * last sequences: at the start, after a reconnect, and every 30 s or so. Only lists depend on this feed; a task that is
 * asked for by its id is found on the stream.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { StreamInfo } from "@nats-io/jetstream";
import type { Msg, MsgHdrs } from "@nats-io/transport-node";

import type { FreshTask } from "../task/task.ts";
import type { Nats } from "./connection.ts";
import { freshFromMessage } from "./jobs.ts";
import { jobEventSubjects, queueFromJobStream } from "./names.ts";
import { withPatience } from "./patience.ts";
import { readStreamBatch } from "./stream-reading.ts";

const surveyMs = 30_000;

/** What a follower of fresh tasks is told. The same task may be told of more than once. None of them may throw. */
export interface FreshFeedEvents {
  readonly onFresh: (task: FreshTask) => void;
  readonly onTrouble: (what: string, detail: string) => void;
}

/** How to follow. */
export interface FreshFeedOptions {
  /** Where messages are received. Default `_INBOX`. */
  readonly inboxPrefix?: string | undefined;
}

/** A running feed. */
export interface FreshFeed {
  /** Resolves when every queue that existed at the start has been read once, or the feed is stopped; never rejects. */
  readonly ready: Promise<void>;
  stop(): void;
}

/** Follows all queues, those that come later included. */
export function followFresh(nats: Nats, events: FreshFeedEvents, options: FreshFeedOptions = {}): FreshFeed {
  return new Follower(nats, events, options);
}

interface Stream {
  readonly name: string;
  /** Tells a stream from another one of the same name; unknown until the first survey. */
  created: string | undefined;
  /** The last sequence told of, or known to be under way. */
  seen: number;
  /** From where to read, once the reading that is under way is over. */
  missingFrom: number | undefined;
  reading: Promise<void> | undefined;
}

class Follower implements FreshFeed {
  readonly ready: Promise<void>;
  readonly #nats: Nats;
  readonly #events: FreshFeedEvents;
  readonly #inboxPrefix: string | undefined;
  readonly #stopping = new AbortController();
  readonly #streams = new Map<string, Stream>();
  /** Makes the survey that is waited for come at once. */
  #hurry: () => void = () => undefined;

  constructor(nats: Nats, events: FreshFeedEvents, { inboxPrefix }: FreshFeedOptions) {
    this.#nats = nats;
    this.#events = events;
    this.#inboxPrefix = inboxPrefix;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    // Listening before reading: what is stored in between is told by one of the two.
    const subscription = nats.connection.subscribe(jobEventSubjects, {
      callback: (error, message) => {
        if (error === null) this.#onEvent(message);
        else events.onTrouble("subscription to queue events failed", error.message);
      },
    });
    const ignoreReconnects = nats.onReconnected(() => this.#hurry());
    this.#stopping.signal.addEventListener("abort", () => {
      ignoreReconnects();
      subscription.unsubscribe();
      this.#hurry();
      resolve();
    });
    void this.#survey(resolve);
  }

  stop(): void {
    this.#stopping.abort();
  }

  #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  #onEvent({ headers }: Msg): void {
    const name = headers?.get("Nats-Stream") ?? "";
    const sequence = Number.parseInt(headers?.get("Nats-Sequence") ?? "", 10);
    if (headers === undefined || !(sequence > 0) || queueFromJobStream(name) === undefined) return;
    const stream = this.#stream(name);
    const expected = stream.seen + 1;
    if (sequence >= expected) stream.seen = sequence;
    if (sequence > expected) void this.#read(stream, expected);
    this.#tell(headers.get("Nats-Subject"), headers);
  }

  #tell(subject: string, fields: MsgHdrs): void {
    const fresh = freshFromMessage(subject, fields);
    if (fresh !== undefined && !this.#isStopped()) this.#events.onFresh(fresh);
  }

  #stream(name: string): Stream {
    const known = this.#streams.get(name);
    if (known !== undefined) return known;
    const stream = { name, created: undefined, seen: 0, missingFrom: undefined, reading: undefined };
    this.#streams.set(name, stream);
    return stream;
  }

  async #survey(onFirst: () => void): Promise<void> {
    const { signal } = this.#stopping;
    while (!this.#isStopped()) {
      let pauseMs = surveyMs * (0.8 + Math.random() * 0.4);
      try {
        const found = await withPatience(() => listStreams(this.#nats), { signal });
        for (const info of found) await this.#compare(info);
        onFirst();
        const names = new Set(found.map(({ config }) => config.name));
        for (const name of this.#streams.keys()) if (!names.has(name)) this.#streams.delete(name);
      } catch (error) {
        if (this.#isStopped()) return;
        this.#events.onTrouble("queues could not be read", String(error));
        pauseMs = 1_000;
      }
      await this.#pause(pauseMs);
    }
  }

  async #compare({ config, created, state }: StreamInfo): Promise<void> {
    const stream = this.#stream(config.name);
    if (stream.created !== undefined && stream.created !== created) stream.seen = 0;
    stream.created = created;
    if (state.last_seq > stream.seen) {
      const from = stream.seen + 1;
      stream.seen = state.last_seq;
      void this.#read(stream, Math.max(from, state.first_seq));
    }
    await stream.reading;
    if (stream.seen < state.last_seq) throw new Error(`${stream.name} could not be read to its end`);
  }

  /** Reads a stream from `from` to its end. While it is being read already, that is done afterwards. */
  #read(stream: Stream, from: number): Promise<void> {
    stream.missingFrom = Math.min(from, stream.missingFrom ?? from);
    stream.reading ??= this.#readMissing(stream).finally(() => {
      stream.reading = undefined;
    });
    return stream.reading;
  }

  async #readMissing(stream: Stream): Promise<void> {
    const { signal } = this.#stopping;
    while (stream.missingFrom !== undefined) {
      let next: number | undefined = stream.missingFrom;
      stream.missingFrom = undefined;
      try {
        while (next !== undefined) next = await this.#readBatch(stream.name, next);
      } catch (error) {
        if (signal.aborted) return;
        this.#events.onTrouble("missed queue events could not be read", `${stream.name}: ${String(error)}`);
        // The next survey finds them missing again.
        stream.seen = Math.min(stream.seen, (next ?? 1) - 1);
      }
    }
  }

  #readBatch(stream: string, fromSequence: number): Promise<number | undefined> {
    const { signal } = this.#stopping;
    const onMessage = (subject: string, fields: MsgHdrs) => this.#tell(subject, fields);
    const reading = { stream, fromSequence, onMessage, signal, inboxPrefix: this.#inboxPrefix };
    return withPatience(() => readStreamBatch(this.#nats, reading), { signal });
  }

  async #pause(ms: number): Promise<void> {
    const hurry = new AbortController();
    this.#hurry = () => hurry.abort();
    if (this.#isStopped()) return;
    await sleep(ms, undefined, { signal: hurry.signal }).catch(() => undefined);
  }
}

async function listStreams(nats: Nats): Promise<StreamInfo[]> {
  const streams: StreamInfo[] = [];
  for await (const info of nats.manager.streams.list("job.>")) {
    if (queueFromJobStream(info.config.name) !== undefined) streams.push(info);
  }
  return streams;
}

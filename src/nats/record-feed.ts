/**
 * Follows the status bucket: every write in order, from a revision on, for ever.
 *
 * One push consumer with flow control, made anew from the last revision seen whenever there is a gap, a silence of four
 * heartbeats, a lost connection or a lost consumer. Made anew at once, because the client library's own ordered consumer
 * can stay silent after a re-creation until two heartbeats are missed.
 *
 * Revisions that are no longer stored are never delivered, so the last one delivered does not say how far the feed is.
 * Heartbeats do: they name the last revision that the consumer has looked at.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { AckPolicy, DeliverPolicy, ReplayPolicy, type StreamInfo, type StreamState } from "@nats-io/jetstream";
import { createInbox, nanos } from "@nats-io/transport-node";

import type { TaskKey } from "../task/task-id.ts";
import type { Nats } from "./connection.ts";
import type { FollowedRecord } from "./followed-record.ts";
import { statusStream } from "./names.ts";
import { withPatience } from "./patience.ts";
import { RecordFeedReader } from "./record-feed-reader.ts";

/** How often the server shows that the consumer lives, where it has nothing to deliver. */
export const heartbeatMs = 500;
/** After this long without a sign of life, nothing is proven any more. */
export const silenceMs = 4 * heartbeatMs;
/** How often it is checked that the bucket was not emptied, which no message tells of. */
const auditMs = 10_000;
/** A leader that was elected just now may not know yet what the one before it has acknowledged. */
const electionPauses = [100, 400, 1_000, 2_000];

/** What a follower is told. Calls come in the order of revisions. None of them may throw. */
export interface RecordFeedEvents {
  /** A record was written. Its bytes are a slice of what came from the network: who keeps them for long should copy them. */
  readonly onRecord: (record: FollowedRecord) => void;
  /** A record was deleted. */
  readonly onRemoved: (key: TaskKey, revision: number) => void;
  /** Everything up to `revision` was told, and the feed stands. Comes again when it moves on past what is not stored. */
  readonly onCaughtUp: (revision: number) => void;
  /** A message or heartbeat came: everything up to the last revision told was all there was. */
  readonly onProof: () => void;
  /**
   * Nothing that was told from before `firstRevision` is stored any more. Says whether the follower knows of something that
   * should be: then the bucket was emptied, and the feed starts at the beginning. Comes every 10 s or so.
   */
  readonly onFloor: (firstRevision: number) => boolean;
  /**
   * The bucket is another one, an older state of it, or was emptied. What was told before is void; the feed starts at the
   * beginning. `created` names the bucket: the time at which it was made, as the server writes it.
   */
  readonly onReplaced: (created: string) => void;
  /** The feed stood, and begins anew where it was. */
  readonly onRestart: (why: string) => void;
  /** Something went wrong, for the log. The feed carries on. */
  readonly onTrouble: (what: string, detail: string) => void;
}

/** A running feed. */
export interface RecordFeed {
  /** Ends when stopped; never rejects. */
  readonly done: Promise<void>;
  stop(): void;
}

/** Follows the bucket from its beginning. */
export function followRecords(
  nats: Nats,
  events: RecordFeedEvents,
  { inboxPrefix }: { readonly inboxPrefix?: string | undefined } = {},
): RecordFeed {
  const feed = new Follower(nats, events, inboxPrefix);
  return { done: feed.run(), stop: () => feed.stop() };
}

class Follower {
  readonly #nats: Nats;
  readonly #events: RecordFeedEvents;
  readonly #inboxPrefix: string | undefined;
  readonly #stopping = new AbortController();
  #appliedRevision = 0;
  #bucketCreated = "";
  #emptied = false;
  /** Ends the session that is under way, saying why. */
  #endSession: (why: string) => void = () => undefined;

  constructor(nats: Nats, events: RecordFeedEvents, inboxPrefix: string | undefined) {
    this.#nats = nats;
    this.#events = events;
    this.#inboxPrefix = inboxPrefix;
  }

  stop(): void {
    this.#stopping.abort();
    this.#endSession("stopped");
  }

  #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async run(): Promise<void> {
    const { signal } = this.#stopping;
    const ignoreReconnects = this.#nats.onReconnected(() => this.#endSession("reconnected"));
    while (!this.#isStopped()) {
      try {
        const why = await this.#session();
        if (!this.#isStopped()) this.#events.onRestart(why);
      } catch (error) {
        if (this.#isStopped()) break;
        this.#events.onTrouble("status feed failed", error instanceof Error ? error.message : String(error));
        await sleep(250 + Math.random() * 750, undefined, { signal }).catch(() => undefined);
      }
    }
    ignoreReconnects();
  }

  /** One consumer from its making to its end; returns why it ended. */
  async #session(): Promise<string> {
    const { first_seq: firstRevision, last_seq: headRevision } = await this.#locate();
    this.#stopping.signal.throwIfAborted();
    const { promise: ended, resolve: end } = Promise.withResolvers<string>();
    this.#endSession = end;
    const reader = new RecordFeedReader({
      events: this.#events,
      publish: (subject) => this.#nats.connection.publish(subject),
      headRevision,
      appliedRevision: this.#appliedRevision,
      onApplied: (revision) => (this.#appliedRevision = revision),
      onEmptied: () => {
        this.#emptied = true;
        end("bucket was emptied");
      },
      end,
    });
    reader.checkFloor(firstRevision, headRevision);
    const inbox = createInbox(this.#inboxPrefix);
    const subscription = this.#nats.connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error !== null) end(error.message);
        else if (!this.#isStopped()) reader.onMessage(message);
      },
    });
    const isSilent = () => performance.now() - reader.heardMs > silenceMs;
    const silence = setInterval(() => {
      // After a long turn of ours, what has come in meanwhile is read between this timer and the immediate.
      if (isSilent()) setImmediate(() => isSilent() && end("silence"));
    }, heartbeatMs);
    const audit = setInterval(() => void this.#audit(reader, end), auditMs * (0.8 + Math.random() * 0.4));
    let consumer: string | undefined;
    try {
      const config = consumerConfig(inbox, this.#appliedRevision);
      const created = await this.#nats.manager.consumers.add(statusStream, config);
      consumer = created.name;
      if (headRevision <= this.#appliedRevision) reader.caughtUp(headRevision);
      return await ended;
    } finally {
      clearInterval(silence);
      clearInterval(audit);
      subscription.unsubscribe();
      // Unless this arrives, the server removes the consumer by itself when it has been deaf for its inactive threshold.
      if (consumer !== undefined)
        void this.#nats.manager.consumers.delete(statusStream, consumer).catch(() => undefined);
    }
  }

  /** Finds out where the bucket is, and whether what was told of it still holds. */
  async #locate(): Promise<StreamState> {
    const { created, state } = await this.#bucket();
    const replaced = this.#bucketCreated !== "" && created !== this.#bucketCreated;
    if (replaced || state.last_seq < this.#appliedRevision || this.#emptied) {
      this.#appliedRevision = 0;
      this.#emptied = false;
      this.#events.onReplaced(created);
    }
    this.#bucketCreated = created;
    return state;
  }

  async #bucket(): Promise<StreamInfo> {
    const { signal } = this.#stopping;
    const read = () => withPatience(() => this.#nats.manager.streams.info(statusStream), { signal });
    let info = await read();
    for (const pauseMs of electionPauses) {
      if (info.state.last_seq >= this.#appliedRevision || info.created !== this.#bucketCreated) return info;
      await sleep(pauseMs, undefined, { signal });
      info = await read();
    }
    return info;
  }

  async #audit(reader: RecordFeedReader, end: (why: string) => void): Promise<void> {
    try {
      const { created, state } = await this.#nats.manager.streams.info(statusStream);
      if (created !== this.#bucketCreated) end("bucket was made anew");
      else reader.checkFloor(state.first_seq, state.last_seq);
    } catch {
      // Silence, and the next session, tell more than a request that failed.
    }
  }

  /** What came while the connection was lost is lost: waiting for silence would only take longer. */
}

function consumerConfig(inbox: string, appliedRevision: number) {
  return {
    deliver_subject: inbox,
    ack_policy: AckPolicy.None,
    replay_policy: ReplayPolicy.Instant,
    deliver_policy: appliedRevision === 0 ? DeliverPolicy.All : DeliverPolicy.StartSequence,
    ...(appliedRevision === 0 ? {} : { opt_start_seq: appliedRevision + 1 }),
    flow_control: true,
    idle_heartbeat: nanos(heartbeatMs),
    inactive_threshold: nanos(30_000),
    mem_storage: true,
    num_replicas: 1,
  };
}

/**
 * Follows the status bucket: every write in order, from a revision on, for ever.
 *
 * One push consumer with flow control, made anew from the last revision seen whenever there is a gap, a silence of four
 * heartbeats, a lost connection or a lost consumer. Made anew at once, because the client library's own ordered consumer
 * can stay silent after a re-creation until two heartbeats are missed.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { AckPolicy, DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import { createInbox, type Msg, nanos } from "@nats-io/transport-node";

import type { TaskKey } from "../task/task-id.ts";
import type { Nats } from "./connection.ts";
import { parseStatusSubject, statusStream } from "./names.ts";
import { withPatience } from "./patience.ts";
import { decodeRecord, type StoredRecord } from "./records.ts";

const heartbeatMs = 500;
const silenceMs = 4 * heartbeatMs;

/** What a follower is told. Calls come in the order of revisions. */
export interface RecordFeedEvents {
  /** A record was written. */
  readonly onRecord: (key: TaskKey, revision: number, record: StoredRecord) => void;
  /** A record was deleted. */
  readonly onRemoved: (key: TaskKey, revision: number) => void;
  /** Everything up to `revision` was told, and the feed stands. */
  readonly onCaughtUp: (revision: number) => void;
  /** A message or heartbeat came: everything up to the last revision told was all there was. */
  readonly onProof: () => void;
  /** The bucket is another one, or an older state of it. What was told before is void; the feed starts at the beginning. */
  readonly onReplaced: () => void;
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
  const stopping = new AbortController();
  const follower = { nats, events, inboxPrefix, signal: stopping.signal, appliedRevision: 0, bucketCreated: "" };
  return { done: follow(follower), stop: () => stopping.abort() };
}

interface Follower {
  readonly nats: Nats;
  readonly events: RecordFeedEvents;
  readonly inboxPrefix: string | undefined;
  readonly signal: AbortSignal;
  appliedRevision: number;
  bucketCreated: string;
}

async function follow(follower: Follower): Promise<void> {
  const { signal, events } = follower;
  while (!signal.aborted) {
    try {
      const why = await session(follower);
      if (!signal.aborted) events.onTrouble("status feed is made anew", why);
    } catch (error) {
      if (signal.aborted) return;
      events.onTrouble("status feed failed", error instanceof Error ? error.message : String(error));
      await sleep(250 + Math.random() * 750, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** One consumer from its making to its end; returns why it ended. */
async function session(follower: Follower): Promise<string> {
  const { nats, events, signal } = follower;
  const info = await withPatience(() => nats.manager.streams.info(statusStream), { signal });
  const headRevision = info.state.last_seq;
  const replaced = follower.bucketCreated !== "" && info.created !== follower.bucketCreated;
  if (replaced || headRevision < follower.appliedRevision) {
    follower.appliedRevision = 0;
    events.onReplaced();
  }
  follower.bucketCreated = info.created;

  const inbox = createInbox(follower.inboxPrefix);
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  const reader = new Reader({ follower, headRevision, end });
  const subscription = nats.connection.subscribe(inbox, {
    callback: (error, message) => (error === null ? reader.onMessage(message) : end(error.message)),
  });
  const isSilent = () => performance.now() - reader.heardMs > silenceMs;
  const silence = setInterval(() => {
    // After a long turn of ours, what has come in meanwhile is read between this timer and the immediate.
    if (isSilent()) setImmediate(() => isSilent() && end("silence"));
  }, heartbeatMs);
  const onStop = () => end("stopped");
  signal.addEventListener("abort", onStop);
  let consumer: string | undefined;
  try {
    const created = await nats.manager.consumers.add(statusStream, consumerConfig(inbox, follower.appliedRevision));
    consumer = created.name;
    if (created.num_pending === 0 && created.delivered.consumer_seq === 0) reader.caughtUp(headRevision);
    return await ended;
  } finally {
    signal.removeEventListener("abort", onStop);
    clearInterval(silence);
    subscription.unsubscribe();
    // Unless this arrives, the server removes the consumer by itself when it has been deaf for its inactive threshold.
    if (consumer !== undefined) void nats.manager.consumers.delete(statusStream, consumer).catch(() => undefined);
  }
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

class Reader {
  readonly #follower: Follower;
  readonly #headRevision: number;
  readonly #end: (why: string) => void;
  #consumerSequence = 0;
  #isCaughtUp = false;
  #ended = false;
  heardMs = performance.now();

  constructor(options: {
    readonly follower: Follower;
    readonly headRevision: number;
    readonly end: (why: string) => void;
  }) {
    this.#follower = options.follower;
    this.#headRevision = options.headRevision;
    this.#end = options.end;
  }

  onMessage(message: Msg): void {
    if (this.#ended) return;
    this.heardMs = performance.now();
    if (message.headers?.code === 100) this.#onControl(message);
    else this.#onRecord(message);
  }

  /** Everything that existed when the session began was told: revisions up to that moment can bring nothing more. */
  caughtUp(revision: number): void {
    this.#isCaughtUp = true;
    const { events } = this.#follower;
    this.#follower.appliedRevision = Math.max(this.#follower.appliedRevision, revision);
    events.onCaughtUp(this.#follower.appliedRevision);
    events.onProof();
  }

  #onControl(message: Msg): void {
    const { nats, events } = this.#follower;
    const stalled = message.headers?.get("Nats-Consumer-Stalled") ?? "";
    if (stalled !== "") nats.connection.publish(stalled);
    // A flow control request asks for an answer; a heartbeat does not.
    if (message.reply !== undefined && message.reply !== "") {
      message.respond();
      return;
    }
    const delivered = message.headers?.get("Nats-Last-Consumer") ?? "";
    if (delivered !== "" && Number(delivered) !== this.#consumerSequence) this.#fail("messages were lost");
    else if (this.#isCaughtUp) events.onProof();
  }

  #onRecord(message: Msg): void {
    const meta = pushMeta(message.reply ?? "");
    if (meta === undefined || meta.consumerSequence !== this.#consumerSequence + 1) {
      this.#fail("messages were lost");
      return;
    }
    this.#consumerSequence = meta.consumerSequence;
    this.#follower.appliedRevision = meta.revision;
    this.#tell(message, meta.revision);
    if (meta.pending === 0 && !this.#isCaughtUp) this.caughtUp(Math.max(meta.revision, this.#headRevision));
    else if (this.#isCaughtUp) this.#follower.events.onProof();
  }

  #tell(message: Msg, revision: number): void {
    const { events } = this.#follower;
    const key = parseStatusSubject(message.subject);
    if (key === undefined) return;
    if (message.data.length === 0) {
      events.onRemoved(key, revision);
      return;
    }
    let record: StoredRecord;
    try {
      record = decodeRecord(message.data);
    } catch (error) {
      // Written by something that is not us. It cannot be served, and must not stop the rest.
      events.onTrouble("record is unreadable", `${message.subject}: ${String(error)}`);
      return;
    }
    events.onRecord(key, revision, record);
  }

  #fail(why: string): void {
    this.#ended = true;
    this.#end(why);
  }
}

function pushMeta(
  reply: string,
): { readonly revision: number; readonly consumerSequence: number; readonly pending: number } | undefined {
  const tokens = reply.split(".");
  const rest = tokens.length >= 11 ? tokens.slice(4) : tokens.slice(2);
  const [, , , revision, consumerSequence, , pending] = rest.map(Number);
  if (revision === undefined || consumerSequence === undefined || pending === undefined) return undefined;
  return { revision, consumerSequence, pending };
}

import type { Msg } from "@nats-io/transport-node";

import { readFollowedRecord, type RecordContent } from "./followed-record.ts";
import { parseStatusSubject } from "./names.ts";
import type { RecordFeedEvents } from "./record-feed.ts";

/** What a reader needs. */
export interface RecordFeedReaderOptions {
  readonly events: RecordFeedEvents;
  /** Sends an empty message. */
  readonly publish: (subject: string) => void;
  /** The last revision of the bucket when the consumer was made: with it told, the follower has caught up. */
  readonly headRevision: number;
  /** Where the consumer starts. */
  readonly appliedRevision: number;
  /** Is told of each revision up to which everything was told. */
  readonly onApplied: (revision: number) => void;
  /** The follower knows of something that is not stored any more. Ends the session. */
  readonly onEmptied: () => void;
  /** Ends the session. */
  readonly end: (why: string) => void;
}

/** Reads what one consumer sends: tells the follower of it, and ends the session as soon as something is missing. */
export class RecordFeedReader {
  readonly #options: RecordFeedReaderOptions;
  #appliedRevision: number;
  #consumerSequence = 0;
  #isCaughtUp = false;
  #ended = false;
  #floor: { readonly firstRevision: number; readonly lastRevision: number } | undefined;
  /** When something came last, in ms of the monotonic clock. */
  heardMs = performance.now();

  constructor(options: RecordFeedReaderOptions) {
    this.#options = options;
    this.#appliedRevision = options.appliedRevision;
  }

  /** Takes whatever came to the inbox of the consumer. */
  onMessage(message: Msg): void {
    if (this.#ended) return;
    this.heardMs = performance.now();
    // The headers of records are of no interest here, and dear to decode. What the server sends of its own has no data.
    if (message.data.length === 0 && message.headers?.code === 100) this.#onControl(message);
    else this.#onRecord(message);
  }

  /**
   * Asks the follower whether it knows of anything from before `firstRevision`, once everything up to `lastRevision` was
   * told: until then, what it knows may be old and not gone.
   */
  checkFloor(firstRevision: number, lastRevision: number): void {
    this.#floor = { firstRevision, lastRevision };
    if (this.#isCaughtUp) this.#checkFloor();
  }

  /** Everything up to `revision` was told. */
  caughtUp(revision: number): void {
    this.#isCaughtUp = true;
    this.#apply(Math.max(this.#appliedRevision, revision));
    this.#options.events.onCaughtUp(this.#appliedRevision);
    this.#options.events.onProof();
    this.#checkFloor();
  }

  #onControl(message: Msg): void {
    // A flow control request asks for an answer; a heartbeat does not, but names one that went missing.
    const stalled = message.headers?.get("Nats-Consumer-Stalled") ?? "";
    if (stalled !== "") this.#options.publish(stalled);
    if (message.reply !== undefined && message.reply !== "") {
      message.respond();
      return;
    }
    const delivered = numberOf(message, "Nats-Last-Consumer");
    const lookedAt = numberOf(message, "Nats-Last-Stream");
    if (delivered !== this.#consumerSequence) this.#fail("messages were lost");
    else if (!this.#isCaughtUp && lookedAt < this.#options.headRevision) return;
    else if (!this.#isCaughtUp || lookedAt > this.#appliedRevision) this.caughtUp(lookedAt);
    else this.#options.events.onProof();
  }

  #onRecord(message: Msg): void {
    const meta = pushMeta(message.reply ?? "");
    if (meta === undefined || meta.consumerSequence !== this.#consumerSequence + 1) {
      this.#fail("messages were lost");
      return;
    }
    this.#consumerSequence = meta.consumerSequence;
    this.#tell(message, meta);
    this.#apply(meta.revision);
    const { headRevision, events } = this.#options;
    if (!this.#isCaughtUp) {
      if (meta.revision >= headRevision) this.caughtUp(meta.revision);
      return;
    }
    events.onProof();
    this.#checkFloor();
  }

  #checkFloor(): void {
    if (this.#floor === undefined || this.#appliedRevision < this.#floor.lastRevision) return;
    const { firstRevision } = this.#floor;
    this.#floor = undefined;
    if (!this.#options.events.onFloor(firstRevision)) return;
    this.#ended = true;
    this.#options.onEmptied();
  }

  #tell(message: Msg, { revision, writtenMs }: PushMeta): void {
    const { events } = this.#options;
    const key = parseStatusSubject(message.subject);
    if (key === undefined) return;
    if (message.data.length === 0) {
      events.onRemoved(key, revision);
      return;
    }
    let content: RecordContent;
    try {
      content = readFollowedRecord(message.data);
    } catch (error) {
      // Written by something that is not us. It cannot be served, and must not stop the rest.
      events.onTrouble("record is unreadable", `${message.subject}: ${String(error)}`);
      return;
    }
    events.onRecord({ key, revision, writtenMs, ...content });
  }

  #apply(revision: number): void {
    this.#appliedRevision = revision;
    this.#options.onApplied(revision);
  }

  #fail(why: string): void {
    this.#ended = true;
    this.#options.end(why);
  }
}

function numberOf(message: Msg, header: string): number {
  return Number.parseInt(message.headers?.get(header) ?? "", 10);
}

interface PushMeta {
  readonly revision: number;
  readonly consumerSequence: number;
  readonly writtenMs: number;
}

/** Reads the reply subject of a delivery (ADR-15), in either version. */
function pushMeta(reply: string): PushMeta | undefined {
  const tokens = reply.split(".");
  const first = tokens.length >= 11 ? 7 : 5;
  const [revision, consumerSequence] = [Number(tokens[first]), Number(tokens[first + 1])];
  const writtenMs = Number(tokens[first + 2]) / 1e6;
  return writtenMs > 0 ? { revision, consumerSequence, writtenMs } : undefined;
}

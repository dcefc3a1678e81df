/**
 * Pulls the jobs of a queue, never more than there are free slots for, high priority before normal before low.
 *
 * Each priority has its own consumer. A pull asks for as many jobs as there are free slots and stands until that many have
 * come or it expires. A priority that had more jobs waiting a moment ago takes all the room from those below it; while none
 * had, all are asked for everything that is free, because that costs nothing until two of them are served at once. Then more
 * jobs may come than there are slots: those are given back at once and are next in line.
 */
import { createInbox, type Msg, nanos, type Subscription } from "@nats-io/transport-node";

import type { Nats } from "./connection.ts";
import { ackMeta, type Custody, deliveryFromMessage, type JobDelivery } from "./job-delivery.ts";
import { jobStream, priorities, type PriorityName } from "./names.ts";

const expiresMs = 30_000;
const idleHeartbeatMs = 4_000;
/** Three heartbeats: the server, the connection or the consumer is gone, and the pulls with it. */
const silenceMs = 3 * idleHeartbeatMs;
/** How long a priority is believed to have more jobs. If it had, a pull that stands would have been served long before. */
const backlogMs = 100;
const turnMs = 1_000;
/** A timer that is later than this tells of a pause: of this process, or of its event loop. */
const latenessMs = 500;
/** How long after a pause what was sent during it may still be read. */
const catchUpMs = 1_000;

/** What a puller needs. */
export interface JobPullerOptions {
  readonly nats: Nats;
  readonly queue: string;
  /** How many jobs may be delivered now: free slots, minus jobs delivered but not begun. */
  readonly capacity: () => number;
  readonly onDelivery: (delivery: JobDelivery) => void;
  /** Is told what goes wrong, for the log. The puller carries on. */
  readonly onTrouble?: (what: string, detail: string) => void;
  /** Where messages are received. Default `_INBOX`. */
  readonly inboxPrefix?: string | undefined;
  /** The lease of the queue: what came longer than half of it ago is not given back. Default 30 s. */
  readonly leaseMs?: number;
}

/** A running puller. */
export interface JobPuller {
  /** Says that slots have become free. Cheap; calls of one turn are gathered. */
  offer(): void;
  /** When jobs or heartbeats last came, in ms of the monotonic clock: proof that the queue is listened to. */
  readonly heardMs: number;
  /** For how long jobs have been asked for and nothing was heard, in ms; 0 while none are asked for. */
  readonly silentMs: number;
  /** Asks for nothing more. What was delivered stays the worker's; what is still on its way is given back. */
  stop(): Promise<void>;
}

/** Starts pulling. */
export function createJobPuller(options: JobPullerOptions): JobPuller {
  return new CreditPuller(options);
}

interface Line {
  readonly priority: PriorityName;
  readonly subject: string;
  /** Jobs asked for that have not come. */
  asked: number;
  /** When a job came that left others waiting, in ms of the monotonic clock. */
  backlogSinceMs: number;
}

class CreditPuller implements JobPuller {
  readonly #options: JobPullerOptions;
  readonly #lines: readonly Line[];
  readonly #timer: NodeJS.Timeout;
  readonly #turns = new Turns();
  readonly #ignoreReconnects: () => void;
  #review: NodeJS.Timeout | undefined;
  #subscription: Subscription;
  #inbox: string;
  #pulls = 0;
  #heardMs = performance.now();
  /** Since when jobs are asked for over the present inbox. */
  #askedSinceMs = 0;
  #restartedMs = 0;
  #scheduled = false;
  #stopped = false;

  constructor(options: JobPullerOptions) {
    this.#options = options;
    const stream = jobStream(options.queue);
    this.#lines = priorities.map((priority) => ({
      priority,
      subject: `$JS.API.CONSUMER.MSG.NEXT.${stream}.${priority}`,
      asked: 0,
      backlogSinceMs: Number.NEGATIVE_INFINITY,
    }));
    [this.#inbox, this.#subscription] = this.#listen();
    this.#timer = setInterval(() => this.#onTurn(), turnMs).unref();
    this.#ignoreReconnects = options.nats.onReconnected(() => this.#restart("reconnected"));
    this.offer();
  }

  get heardMs(): number {
    return this.#heardMs;
  }

  get silentMs(): number {
    if (!this.#isAsking()) return 0;
    return performance.now() - Math.max(this.#heardMs, this.#askedSinceMs);
  }

  offer(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#ask();
    });
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#review);
    this.#ignoreReconnects();
    // Without interest in the inbox, the server forgets the pulls that stand; what it has sent before is still read. That
    // fails when the connection is closed, and then nothing comes either.
    await this.#subscription.drain().catch(() => undefined);
  }

  #listen(): [string, Subscription] {
    const inbox = createInbox(this.#options.inboxPrefix);
    const subscription = this.#options.nats.connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error !== null) this.#options.onTrouble?.("subscription failed", error.message);
        else this.#onMessage(message, inbox);
      },
    });
    return [inbox, subscription];
  }

  #isAsking(): boolean {
    return this.#lines.some(({ asked }) => asked > 0);
  }

  #ask(): void {
    if (this.#stopped || !this.#options.nats.connected) return;
    let room = this.#options.capacity();
    const nowMs = performance.now();
    for (const line of this.#lines) {
      const wanted = room - line.asked;
      // A pull that stands is topped up only when that is worth a message.
      if (wanted > 0 && (line.asked === 0 || wanted >= line.asked)) this.#pull(line, wanted);
      if (room > 0 && nowMs - line.backlogSinceMs < backlogMs) {
        room = 0;
        this.#review ??= setTimeout(() => {
          this.#review = undefined;
          this.offer();
        }, backlogMs).unref();
      }
    }
  }

  #pull(line: Line, batch: number): void {
    if (!this.#isAsking()) this.#askedSinceMs = performance.now();
    this.#pulls += 1;
    line.asked += batch;
    const request = { batch, expires: nanos(expiresMs), idle_heartbeat: nanos(idleHeartbeatMs) };
    this.#options.nats.connection.publish(line.subject, JSON.stringify(request), {
      reply: `${this.#inbox}.${line.priority}-${this.#pulls}`,
    });
  }

  #onMessage(message: Msg, inbox: string): void {
    if (message.subject.startsWith(inbox)) {
      if (!this.#stopped && inbox === this.#inbox) this.#onStatus(message);
      return;
    }
    const nowMs = performance.now();
    this.#heardMs = nowMs;
    const { consumer, pending } = ackMeta(message.reply ?? "") ?? {};
    const line = this.#lines.find(({ priority }) => priority === consumer);
    if (line !== undefined) {
      if (inbox === this.#inbox) line.asked = Math.max(0, line.asked - 1);
      line.backlogSinceMs = (pending ?? 0) > 0 ? nowMs : Number.NEGATIVE_INFINITY;
    }
    this.#onJob(message, { sinceMs: this.#turns.earliestMs(nowMs), safeMs: (this.#options.leaseMs ?? 30_000) / 2 });
    this.offer();
  }

  #onJob(message: Msg, custody: Custody): void {
    const delivery = deliveryFromMessage(this.#options.nats, message, custody);
    if (delivery === undefined) this.#options.onTrouble?.("message is no job", message.subject);
    else if (!this.#stopped && this.#options.capacity() > 0) this.#options.onDelivery(delivery);
    else delivery.giveBack(0);
  }

  #onStatus(message: Msg): void {
    const code = message.headers?.code ?? 0;
    // Only what a consumer says is a sign of one; that it is gone is none.
    if (code === 100 || code === 408) this.#heardMs = performance.now();
    if (code === 100) return;
    const name = message.subject.slice(this.#inbox.length + 1).split("-", 1)[0];
    const line = this.#lines.find(({ priority }) => priority === name);
    if (line === undefined) return;
    if (code === 408) {
      // The pull has expired; the server says how much of it was left.
      const left = Number.parseInt(message.headers?.get("Nats-Pending-Messages") ?? "", 10);
      line.asked = Number.isNaN(left) ? 0 : Math.max(0, line.asked - left);
      this.offer();
      return;
    }
    // The consumer was deleted or lost its leader, or nobody answers: ask again after a while.
    this.#options.onTrouble?.("pull was refused", `${code} ${message.headers?.description ?? ""}`);
    line.asked = 0;
    setTimeout(() => this.offer(), 250 + Math.random() * 500).unref();
  }

  #onTurn(): void {
    this.#turns.mark(performance.now());
    const isSilent = () => this.silentMs > silenceMs && performance.now() - this.#restartedMs > silenceMs;
    // After a long turn of ours, what has come in meanwhile is read between this timer and the immediate.
    if (isSilent()) setImmediate(() => isSilent() && this.#restart("silence"));
    else this.offer();
  }

  #restart(why: string): void {
    if (this.#stopped) return;
    this.#options.onTrouble?.("pulls are made anew", why);
    this.#subscription.unsubscribe();
    [this.#inbox, this.#subscription] = this.#listen();
    this.#restartedMs = performance.now();
    for (const line of this.#lines) line.asked = 0;
    this.offer();
  }
}

/**
 * Notices when this process did not run for a while, stopped or busy. What is read right after that may have been sent, and
 * its lease may have begun, at any time since.
 */
class Turns {
  #lastMs = performance.now();
  #pausedSinceMs = 0;
  #caughtUpMs = 0;

  /** To be called every turn. */
  mark(nowMs: number): void {
    if (nowMs - this.#lastMs > turnMs + latenessMs) {
      this.#pausedSinceMs = this.#lastMs;
      this.#caughtUpMs = nowMs + catchUpMs;
    }
    this.#lastMs = nowMs;
  }

  /** When what is read now was sent, at the earliest. */
  earliestMs(nowMs: number): number {
    if (nowMs - this.#lastMs > turnMs + latenessMs) return this.#lastMs;
    return nowMs < this.#caughtUpMs ? this.#pausedSinceMs : nowMs;
  }
}

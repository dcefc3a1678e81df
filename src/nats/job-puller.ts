/**
 * Pulls the jobs of a queue, never more than there are free slots for, high priority before normal before low.
 *
 * Each priority has its own consumer. A pull asks for as many jobs as there are free slots and stands until that many have
 * come or it expires. A priority that is known to have more jobs waiting takes all the room from those below it; while
 * none is known to, all are asked for everything that is free, because that costs nothing until two of them are served at
 * once. Then more jobs may come than there are slots: those are given back at once and are next in line.
 */
import { createInbox, type Msg, nanos, type Subscription } from "@nats-io/transport-node";

import type { Nats } from "./connection.ts";
import { deliveryFromMessage, type JobDelivery } from "./job-delivery.ts";
import { jobStream, priorities, type PriorityName } from "./names.ts";

const expiresMs = 30_000;
const idleHeartbeatMs = 4_000;
/** Three heartbeats: the server, the connection or the consumer is gone, and the pulls with it. */
const silenceMs = 3 * idleHeartbeatMs;

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
}

/** A running puller. */
export interface JobPuller {
  /** Says that slots have become free. Cheap; calls of one turn are gathered. */
  offer(): void;
  /** When jobs, heartbeats or answers last came, in ms of the monotonic clock: proof that the queue is listened to. */
  readonly heardMs: number;
  /** Asks for nothing more. What was delivered stays the worker's. */
  stop(): void;
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
  /** Whether jobs were left when the last one came. */
  backlog: boolean;
}

class CreditPuller implements JobPuller {
  readonly #options: JobPullerOptions;
  readonly #lines: readonly Line[];
  readonly #timer: NodeJS.Timeout;
  #subscription: Subscription;
  #inbox: string;
  #pulls = 0;
  #heardMs = performance.now();
  #scheduled = false;
  #stopped = false;

  constructor(options: JobPullerOptions) {
    this.#options = options;
    const stream = jobStream(options.queue);
    this.#lines = priorities.map((priority) => ({
      priority,
      subject: `$JS.API.CONSUMER.MSG.NEXT.${stream}.${priority}`,
      asked: 0,
      backlog: false,
    }));
    [this.#inbox, this.#subscription] = this.#listen();
    this.#timer = setInterval(() => this.#watchSilence(), 1_000).unref();
    void this.#followConnection();
    this.offer();
  }

  get heardMs(): number {
    return this.#heardMs;
  }

  offer(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#ask();
    });
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    // Without interest in the inbox, the server forgets the pulls that stand.
    this.#subscription.unsubscribe();
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

  #ask(): void {
    if (this.#stopped || !this.#options.nats.connected) return;
    let room = this.#options.capacity();
    for (const line of this.#lines) {
      const wanted = room - line.asked;
      // A pull that stands is topped up only when that is worth a message.
      if (wanted > 0 && (line.asked === 0 || wanted >= line.asked)) this.#pull(line, wanted);
      if (line.backlog) room = 0;
    }
  }

  #pull(line: Line, batch: number): void {
    this.#pulls += 1;
    line.asked += batch;
    const request = { batch, expires: nanos(expiresMs), idle_heartbeat: nanos(idleHeartbeatMs) };
    this.#options.nats.connection.publish(line.subject, JSON.stringify(request), {
      reply: `${this.#inbox}.${line.priority}-${this.#pulls}`,
    });
  }

  #onMessage(message: Msg, inbox: string): void {
    if (this.#stopped || inbox !== this.#inbox) return;
    this.#heardMs = performance.now();
    if (message.subject.startsWith(inbox)) {
      this.#onStatus(message);
      return;
    }
    const delivery = deliveryFromMessage(this.#options.nats, message);
    if (delivery === undefined) {
      this.#options.onTrouble?.("message is no job", message.subject);
      return;
    }
    const line = this.#lines.find(({ priority }) => priority === delivery.consumer);
    if (line !== undefined) {
      line.asked = Math.max(0, line.asked - 1);
      line.backlog = delivery.pending > 0;
    }
    if (this.#options.capacity() > 0) this.#options.onDelivery(delivery);
    else delivery.giveBack(0);
    this.offer();
  }

  #onStatus(message: Msg): void {
    const code = message.headers?.code ?? 0;
    if (code === 100) return;
    const name = message.subject.slice(this.#inbox.length + 1).split("-", 1)[0];
    const line = this.#lines.find(({ priority }) => priority === name);
    if (line === undefined) return;
    line.backlog = false;
    if (code === 408) {
      // The pull has expired; the server says how much of it was left.
      const left = Number.parseInt(message.headers?.get("Nats-Pending-Messages") ?? "", 10);
      line.asked = Number.isNaN(left) ? 0 : Math.max(0, line.asked - left);
    } else {
      // The consumer was deleted or lost its leader, or nobody answers: ask again after a while.
      this.#options.onTrouble?.("pull was refused", `${code} ${message.headers?.description ?? ""}`);
      line.asked = 0;
      setTimeout(() => this.offer(), 250 + Math.random() * 500).unref();
      return;
    }
    this.offer();
  }

  #watchSilence(): void {
    const isSilent = () => this.#lines.some(({ asked }) => asked > 0) && performance.now() - this.#heardMs > silenceMs;
    // After a long turn of ours, what has come in meanwhile is read between this timer and the immediate.
    if (isSilent()) setImmediate(() => isSilent() && this.#restart("silence"));
    else this.offer();
  }

  #restart(why: string): void {
    if (this.#stopped) return;
    this.#options.onTrouble?.("pulls are made anew", why);
    this.#subscription.unsubscribe();
    [this.#inbox, this.#subscription] = this.#listen();
    this.#heardMs = performance.now();
    for (const line of this.#lines) line.asked = 0;
    this.offer();
  }

  async #followConnection(): Promise<void> {
    for await (const status of this.#options.nats.connection.status()) {
      if (this.#stopped) return;
      if (status.type === "reconnect") this.#restart("reconnected");
    }
  }
}

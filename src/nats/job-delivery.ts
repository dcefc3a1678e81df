import { fromBinary } from "@bufbuild/protobuf";
import { type Msg, nanos } from "@nats-io/transport-node";

import { type Job, JobSchema } from "../gen/taskwatch/storage/v1/record_pb.ts";
import type { Priority } from "../gen/taskwatch/v1/task_pb.ts";
import type { Delivery } from "../task/delivery.ts";
import type { TaskKey } from "../task/task-id.ts";
import type { Nats } from "./connection.ts";
import { immutableOf, revisionOf } from "./jobs.ts";
import { parseJobSubject } from "./names.ts";

/**
 * A job as delivered to this worker. Acknowledgements tidy up and decide nothing: one from a worker that has lost its lease
 * would be obeyed like any other, so only the holder of the record may send one.
 */
export interface JobDelivery extends Delivery {
  readonly key: TaskKey;
  readonly priority: Priority;
  /** The name of the consumer that delivered it. */
  readonly consumer: string;
  /** How many further jobs its consumer had at that moment. */
  readonly pending: number;
  /** The immutable part of the status. */
  readonly immutable: Uint8Array;
  /** Decodes what the job carries. Throws on bytes that are no job. */
  readJob(): Job;
  /** Says that the job is done with. May get lost; then it is delivered again and found to be done with. */
  acknowledge(): void;
  /**
   * Gives the job back, to be delivered again after `delayMs`. Only for who holds no claim.
   *
   * Does nothing when the job may no longer be with us, as after a pause of this process: the server would take the job from
   * whoever has it now, and that would look like the end of their lease. It comes again by itself.
   */
  giveBack(delayMs: number): void;
  /** Starts the lease anew. */
  extend(): void;
}

/** Since when a delivery is with us, and for how long. */
export interface Custody {
  /** When it came, at the earliest, in ms of the monotonic clock. */
  readonly sinceMs: number;
  /** For how long after that it is surely still ours. */
  readonly safeMs: number;
}

/** A delivery from a message of a pull consumer; undefined if it is none. */
export function deliveryFromMessage(
  nats: Nats,
  message: Msg,
  custody: Custody = { sinceMs: performance.now(), safeMs: Number.POSITIVE_INFINITY },
): JobDelivery | undefined {
  const parsed = parseJobSubject(message.subject);
  const immutable = immutableOf(message.headers);
  const meta = ackMeta(message.reply ?? "");
  if (parsed === undefined || immutable === undefined || meta === undefined) return undefined;
  return new PulledJob(nats, { message, custody, ...parsed, ...meta, immutable });
}

/** What the reply subject of a delivery says of it. */
export interface AckMeta {
  readonly consumer: string;
  readonly jobDelivery: number;
  readonly jobSequence: number;
  readonly pending: number;
}

/**
 * Reads the reply subject of a delivery (ADR-15): `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer
 * sequence>.<time>.<pending>`, in its second version with domain and account before the stream and a token at the end.
 */
export function ackMeta(reply: string): AckMeta | undefined {
  const tokens = reply.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || tokens.length < 9) return undefined;
  const at = tokens.length >= 11 ? 5 : 3;
  const [jobDelivery, jobSequence] = [Number(tokens[at + 1]), Number(tokens[at + 2])];
  const pending = Number(tokens[at + 5]);
  if (!Number.isFinite(jobDelivery + jobSequence + pending)) return undefined;
  return { consumer: tokens[at] ?? "", jobDelivery, jobSequence, pending };
}

class PulledJob implements JobDelivery {
  readonly key: TaskKey;
  readonly priority: Priority;
  readonly consumer: string;
  readonly pending: number;
  readonly immutable: Uint8Array;
  readonly jobSequence: number;
  readonly jobDelivery: number;
  readonly expectedRevision: number;
  readonly #nats: Nats;
  readonly #message: Msg;
  readonly #safeMs: number;
  #sinceMs: number;

  constructor(
    nats: Nats,
    parts: AckMeta & Pick<JobDelivery, "key" | "priority" | "immutable"> & { message: Msg; custody: Custody },
  ) {
    const { message, custody } = parts;
    this.key = parts.key;
    this.priority = parts.priority;
    this.consumer = parts.consumer;
    this.pending = parts.pending;
    this.immutable = parts.immutable;
    this.jobSequence = parts.jobSequence;
    this.jobDelivery = parts.jobDelivery;
    this.expectedRevision = revisionOf(message.headers);
    this.#nats = nats;
    this.#message = message;
    this.#sinceMs = custody.sinceMs;
    this.#safeMs = custody.safeMs;
  }

  readJob(): Job {
    return fromBinary(JobSchema, this.#message.data);
  }

  acknowledge(): void {
    this.#send("+ACK");
  }

  giveBack(delayMs: number): void {
    // What is said while the connection is down reaches the server when it is up again, which may be too late.
    if (!this.#isSurelyOurs() || !this.#nats.connected) return;
    this.#send(delayMs > 0 ? `-NAK {"delay":${nanos(Math.ceil(delayMs))}}` : "-NAK");
  }

  extend(): void {
    if (this.#isSurelyOurs()) this.#sinceMs = performance.now();
    this.#send("+WPI");
  }

  #isSurelyOurs(): boolean {
    return performance.now() - this.#sinceMs < this.#safeMs;
  }

  #send(text: string): void {
    try {
      this.#nats.connection.publish(this.#message.reply ?? "", text);
    } catch {
      // The connection is closed for good. Whatever was to be said may get lost anyway.
    }
  }
}

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
  /** Gives the job back, to be delivered again after `delayMs`. Only for who holds no claim. */
  giveBack(delayMs: number): void;
  /** Starts the lease anew. */
  extend(): void;
}

/** A delivery from a message of a pull consumer; undefined if it is none. */
export function deliveryFromMessage({ connection }: Nats, message: Msg): JobDelivery | undefined {
  const parsed = parseJobSubject(message.subject);
  const immutable = immutableOf(message.headers);
  const reply = message.reply ?? "";
  const meta = ackMeta(reply);
  if (parsed === undefined || immutable === undefined || meta === undefined) return undefined;
  return {
    ...meta,
    key: parsed.key,
    priority: parsed.priority,
    immutable,
    expectedRevision: revisionOf(message.headers),
    readJob: () => fromBinary(JobSchema, message.data),
    acknowledge: () => connection.publish(reply, "+ACK"),
    giveBack: (delayMs) => connection.publish(reply, delayMs > 0 ? `-NAK {"delay":${nanos(delayMs)}}` : "-NAK"),
    extend: () => connection.publish(reply, "+WPI"),
  };
}

/**
 * Reads the reply subject of a delivery (ADR-15): `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer
 * sequence>.<time>.<pending>`, in its second version with domain and account before the stream and a token at the end.
 */
export function ackMeta(
  reply: string,
):
  | { readonly consumer: string; readonly jobDelivery: number; readonly jobSequence: number; readonly pending: number }
  | undefined {
  const tokens = reply.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || tokens.length < 9) return undefined;
  const rest = tokens.length >= 11 ? tokens.slice(4) : tokens.slice(2);
  const [, consumer = "", delivered, sequence, , , pending] = rest;
  const numbers = { jobDelivery: Number(delivered), jobSequence: Number(sequence), pending: Number(pending) };
  return Object.values(numbers).every(Number.isFinite) ? { consumer, ...numbers } : undefined;
}

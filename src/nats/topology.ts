/**
 * The streams and consumers that Taskwatch keeps on NATS, made where they are missing. What is there already is never
 * changed: where it differs from what is wanted, the difference is reported, and an operator decides.
 */
import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  DiscardPolicy,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";

import { apiCodes, hasApiCode } from "./errors.ts";
import {
  consumerSubjects,
  jobStream,
  jobSubjects,
  metaStream,
  metaSubjects,
  priorities,
  type PriorityName,
  statusStream,
  statusSubjects,
} from "./names.ts";

/** A setting that is not as wanted. */
export interface Difference {
  /** The stream, or `stream/consumer`. */
  readonly what: string;
  /** The setting, as the NATS API names it. */
  readonly setting: string;
  readonly wanted: unknown;
  readonly actual: unknown;
}

/** What decides the shape of streams. */
export interface TopologyOptions {
  /** How many servers keep each stream: 1, 3 or 5. */
  readonly replicas: number;
}

/** What decides the shape of a queue's consumers. */
export interface QueueShape {
  /** How long an attempt is its worker's without a sign of life. */
  readonly leaseMs: number;
  /** How many tasks of each priority may be with workers at once. */
  readonly concurrency: number;
}

type WantedStream = Partial<StreamConfig> & { readonly name: string; readonly subjects: string[] };

/** Makes both buckets. */
export async function ensureBuckets(
  manager: JetStreamManager,
  { replicas }: TopologyOptions,
): Promise<{ readonly status: StreamInfo; readonly differences: Difference[] }> {
  const bucket = (name: string, subject: string): WantedStream => ({
    name,
    subjects: [subject],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    discard: DiscardPolicy.Old,
    allow_direct: true,
    allow_msg_ttl: true,
    deny_delete: true,
    // A rollup header would let whoever may write one key wipe the bucket.
    allow_rollup_hdrs: false,
  });
  const status = await ensureStream(manager, bucket(statusStream, statusSubjects));
  const meta = await ensureStream(manager, bucket(metaStream, metaSubjects));
  return { status: status.info, differences: [...status.differences, ...meta.differences] };
}

/** Makes the stream of a queue and its consumers, one for each priority. */
export async function ensureQueue(
  manager: JetStreamManager,
  queue: string,
  { replicas, leaseMs, concurrency }: TopologyOptions & QueueShape,
): Promise<Difference[]> {
  const stream = jobStream(queue);
  const { differences } = await ensureStream(manager, {
    name: stream,
    subjects: jobSubjects(queue),
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    // "Discard new" is refused together with schedules; every publisher says which sequence it replaces instead.
    discard: DiscardPolicy.Old,
    allow_direct: true,
    allow_msg_schedules: true,
    allow_msg_ttl: true,
    deny_delete: true,
    // Everything, so that a gap in the sequences means a lost event. Headers only: no listener is sent payloads.
    republish: { src: ">", dest: "tev.>", headers_only: true },
  });
  const consumers = await Promise.all(
    priorities.map((priority) =>
      ensureConsumer(manager, stream, jobConsumer(queue, priority, { leaseMs, concurrency })),
    ),
  );
  return [...differences, ...consumers.flat()];
}

function jobConsumer(queue: string, priority: PriorityName, shape: QueueShape): Partial<ConsumerConfig> {
  return {
    durable_name: priority,
    filter_subject: consumerSubjects(queue, priority),
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: nanos(shape.leaseMs),
    // Attempts are counted in the record. A job that JetStream gave up would stay in the stream unseen.
    max_deliver: -1,
    max_ack_pending: shape.concurrency,
    max_waiting: 4_096,
  };
}

async function ensureStream(
  manager: JetStreamManager,
  wanted: WantedStream,
): Promise<{ readonly info: StreamInfo; readonly differences: Difference[] }> {
  try {
    const info = await manager.streams.info(wanted.name);
    return { info, differences: differencesOf(wanted.name, wanted, info.config) };
  } catch (error) {
    if (!hasApiCode(error, apiCodes.streamNotFound)) throw error;
  }
  return { info: await manager.streams.add(wanted), differences: [] };
}

async function ensureConsumer(
  manager: JetStreamManager,
  stream: string,
  wanted: Partial<ConsumerConfig>,
): Promise<Difference[]> {
  const name = wanted.durable_name ?? "";
  try {
    const { config } = await manager.consumers.info(stream, name);
    return differencesOf(`${stream}/${name}`, wanted, config);
  } catch (error) {
    if (!hasApiCode(error, apiCodes.consumerNotFound)) throw error;
  }
  await manager.consumers.add(stream, wanted);
  return [];
}

function differencesOf(what: string, wanted: object, actual: object): Difference[] {
  const actualSettings = new Map<string, unknown>(Object.entries(actual));
  return Object.entries(wanted).flatMap(([setting, value]: [string, unknown]) => {
    // The server leaves out of its answer what is false.
    const found = actualSettings.get(setting) ?? (value === false ? false : undefined);
    return sameSetting(value, found) ? [] : [{ what, setting, wanted: value, actual: found }];
  });
}

function sameSetting(wanted: unknown, actual: unknown): boolean {
  if (typeof wanted !== "object" || wanted === null) return wanted === actual;
  if (typeof actual !== "object" || actual === null) return false;
  const found = new Map<string, unknown>(Object.entries(actual));
  return Object.entries(wanted).every(([name, value]: [string, unknown]) => sameSetting(value, found.get(name)));
}

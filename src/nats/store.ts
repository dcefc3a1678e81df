/**
 * What a deployment keeps once: its buckets, its epoch, the secret of its ids, and its queues.
 */
import { createHash, randomBytes } from "node:crypto";

import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import { durationMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { headers } from "@nats-io/transport-node";

import { type QueueRecord, QueueRecordSchema } from "../gen/taskwatch/storage/v1/record_pb.ts";
import { TaskError } from "../task/errors.ts";
import { createTaskIds, type TaskIds } from "../task/task-id.ts";
import type { Nats } from "./connection.ts";
import { storeUnavailable, WriteConflict } from "./errors.ts";
import { metaStream, metaSubject, queueFromJobStream } from "./names.ts";
import { withPatience } from "./patience.ts";
import { type Difference, ensureBuckets, ensureQueue } from "./topology.ts";

const defaultLeaseMs = 30_000;
const defaultConcurrency = 10_000;
/** One round wins, or loses to a winner; more of them mean that the key is written and deleted all the time. */
const maxKeepRounds = 10;
/** How long the settings of a queue are believed before they are read again. */
const settingsTtlMs = 30_000;

/** How a deployment is set up. */
export interface StoreOptions {
  /** How many servers keep each stream: 1, 3 or 5. Default 1. */
  readonly replicas?: number;
  /** How many queues there may be. Default 256: each is a stream of its own. */
  readonly maxQueues?: number;
  /** The lease of queues that say nothing of it. Default 30 s. */
  readonly leaseMs?: number;
  /** Is told of each setting on NATS that is not as wanted. It is left as it is. */
  readonly onDifference?: (difference: Difference) => void;
}

/** A queue as its users need it. */
export interface QueueConfig {
  readonly record: QueueRecord;
  /** How long an attempt is its worker's without a sign of life. */
  readonly leaseMs: number;
}

/** The deployment. */
export interface Store {
  /** Changes when the status bucket is made anew: what was said of the old one is void. */
  readonly epoch: bigint;
  readonly ids: TaskIds;
  /** The queue, made if it does not exist. Throws QUEUE_LIMIT_REACHED when there are too many. */
  queue(name: string): Promise<QueueConfig>;
}

/** Opens the deployment that lives on `nats`, making what is missing. Safe to do from many processes at once. */
export async function openStore(nats: Nats, options: StoreOptions = {}): Promise<Store> {
  const { replicas = 1, onDifference } = options;
  const report = (differences: readonly Difference[]) => {
    for (const difference of differences) onDifference?.(difference);
  };
  const { status, differences } = await withPatience(() => ensureBuckets(nats.manager, { replicas }));
  report(differences);
  const secret = await keep(nats, "secret", () => randomBytes(32));
  const epoch = createHash("sha256").update(secret).update(status.created).digest().readBigUInt64BE(0);
  const queues = new QueueDirectory({ nats, options, report });
  return { epoch, ids: createTaskIds(secret), queue: (name) => queues.get(name) };
}

interface QueueEntry {
  readonly config: Promise<QueueConfig>;
  readonly staleMs: number;
}

class QueueDirectory {
  readonly #nats: Nats;
  readonly #options: StoreOptions;
  readonly #report: (differences: readonly Difference[]) => void;
  readonly #entries = new Map<string, QueueEntry>();
  #making: Promise<unknown> = Promise.resolve();

  constructor(options: {
    readonly nats: Nats;
    readonly options: StoreOptions;
    readonly report: (differences: readonly Difference[]) => void;
  }) {
    this.#nats = options.nats;
    this.#options = options.options;
    this.#report = options.report;
  }

  get(name: string): Promise<QueueConfig> {
    const known = this.#entries.get(name);
    if (known !== undefined && performance.now() < known.staleMs) return known.config;
    const config = this.#load(name);
    this.#entries.set(name, { config, staleMs: performance.now() + settingsTtlMs });
    // What failed is asked for again; what was known before is not lost for it.
    config.catch(() => {
      if (this.#entries.get(name)?.config !== config) return;
      if (known === undefined) this.#entries.delete(name);
      else this.#entries.set(name, known);
    });
    return config;
  }

  async #load(name: string): Promise<QueueConfig> {
    const stored = await readMeta(this.#nats, `queue.${name}`);
    if (stored.data === undefined) return this.#oneByOne(() => this.#make(name));
    return this.#ensure(name, fromBinary(QueueRecordSchema, stored.data));
  }

  /** New queues are made one after the other, so that the limit holds within this process. */
  async #make(name: string): Promise<QueueConfig> {
    await this.#assertRoom();
    const bytes = await keep(this.#nats, `queue.${name}`, () =>
      toBinary(QueueRecordSchema, create(QueueRecordSchema, { createTime: timestampNow() })),
    );
    return this.#ensure(name, fromBinary(QueueRecordSchema, bytes));
  }

  #oneByOne<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#making.then(work);
    this.#making = result.catch(() => undefined);
    return result;
  }

  async #ensure(name: string, record: QueueRecord): Promise<QueueConfig> {
    const { settings } = record;
    const leaseMs =
      settings?.lease === undefined ? (this.#options.leaseMs ?? defaultLeaseMs) : durationMs(settings.lease);
    const shape = {
      replicas: this.#options.replicas ?? 1,
      leaseMs,
      concurrency: settings === undefined || settings.concurrency === 0 ? defaultConcurrency : settings.concurrency,
    };
    this.#report(await withPatience(() => ensureQueue(this.#nats.manager, name, shape)));
    return { record, leaseMs };
  }

  async #assertRoom(): Promise<void> {
    const { maxQueues = 256 } = this.#options;
    let count = 0;
    for await (const name of this.#nats.manager.streams.names("job.>")) {
      if (queueFromJobStream(name) !== undefined) count += 1;
    }
    if (count < maxQueues) return;
    throw new TaskError("QUEUE_LIMIT_REACHED", `there are ${count} queues already, and ${maxQueues} are allowed`);
  }
}

interface MetaEntry {
  /** 0 if the key was never written. */
  readonly sequence: number;
  /** Undefined also if the key was deleted, which leaves a marker. */
  readonly data: Uint8Array | undefined;
}

/** Reads a key of the meta bucket from its leader. */
async function readMeta({ leaderReads }: Nats, key: string): Promise<MetaEntry> {
  const message = await withPatience(() => leaderReads.read(metaStream, { last_by_subj: metaSubject(key) }));
  if (message === undefined) return { sequence: 0, data: undefined };
  return { sequence: message.seq, data: message.data.length === 0 ? undefined : message.data };
}

/** The value of a key, made if there is none. Of many who make it at once, one wins, and all get that one's. */
async function keep(nats: Nats, key: string, make: () => Uint8Array): Promise<Uint8Array> {
  for (let round = 0; round < maxKeepRounds; round += 1) {
    const { sequence, data } = await readMeta(nats, key);
    if (data !== undefined) return data;
    const fields = headers();
    fields.set("Nats-Expected-Last-Subject-Sequence", String(sequence));
    try {
      await withPatience(() => nats.publisher.publish({ subject: metaSubject(key), data: make(), headers: fields }));
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
    }
  }
  throw storeUnavailable(new Error(`key ${key} of the meta bucket keeps changing`));
}

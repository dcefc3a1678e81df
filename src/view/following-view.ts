import { createHash } from "node:crypto";

import { followFresh, type FreshFeed } from "../nats/fresh-feed.ts";
import { followRecords, type RecordFeed, type RecordFeedEvents, silenceMs } from "../nats/record-feed.ts";
import { TaskError } from "../task/errors.ts";
import type { TaskKey } from "../task/task-id.ts";
import type { FreshTask, StatusSnapshot } from "../task/task.ts";
import { Hub, nameOfKey, type TaskSubscriber, type Unsubscribe } from "./hub.ts";
import { type IndexedStatus, IndexStore } from "./index-store.ts";
import { type PendingChange, PendingChanges } from "./pending-changes.ts";
import { RevisionWaiters, type WaitOptions } from "./revision-waiters.ts";
import type { Scope } from "./scopes.ts";
import { createTaskQueries, type QueryTasks, type TaskQuery, type TaskRows } from "./task-query.ts";
import type { View, ViewFigures, ViewOptions } from "./view.ts";

const expireMs = 1_000;
/** What is removed in one turn: a few ms of work. */
const expireBatch = 250;

/** See view.ts. */
export class FollowingView implements View {
  readonly #options: ViewOptions;
  readonly #index: IndexStore;
  readonly #query: QueryTasks;
  readonly #hub: Hub;
  readonly #pending: PendingChanges;
  readonly #applied = new RevisionWaiters();
  readonly #readiness = new RevisionWaiters();
  readonly #expiry: NodeJS.Timeout;
  #records: RecordFeed;
  #fresh: FreshFeed;
  #caughtUp = false;
  #queuesRead = false;
  #closed = false;
  epoch: bigint;
  appliedRevision = 0;
  provenMs = Number.NEGATIVE_INFINITY;

  constructor(options: ViewOptions) {
    const { nowMs = Date.now } = options;
    const onTrouble = (what: string, detail: string) => this.#trouble(what, detail);
    this.#options = options;
    this.epoch = options.epoch;
    this.#index = new IndexStore({ nowMs, onTrouble });
    this.#query = createTaskQueries(this.#index, { nowMs });
    this.#hub = new Hub((error) => this.#trouble("subscriber failed", String(error)));
    this.#pending = new PendingChanges(() => this.settle());
    this.#records = this.#followRecords();
    this.#fresh = this.#followFresh();
    this.#expiry = setInterval(() => this.#expire(), expireMs);
  }

  get ready(): boolean {
    return this.#caughtUp && this.#queuesRead;
  }

  get isProven(): boolean {
    return this.ready && performance.now() - this.provenMs <= silenceMs;
  }

  get subscriptions(): number {
    return this.#hub.size;
  }

  async whenReady(options: WaitOptions): Promise<void> {
    if (!this.ready) await this.#readiness.wait(0, options);
  }

  async waitFor(revision: number, options: WaitOptions): Promise<void> {
    if (revision > this.appliedRevision) await this.#applied.wait(revision, options);
  }

  get(key: TaskKey): IndexedStatus | undefined {
    if (this.#pending.has(nameOfKey(key))) this.settle();
    return this.#index.get(key);
  }

  addFresh(task: FreshTask): void {
    this.#pending.addFresh(task);
  }

  query(query: TaskQuery): TaskRows {
    this.settle();
    return this.#query(query);
  }

  scopes(namespace?: string): Iterable<Scope> {
    return namespace === undefined ? this.#index.scopes.all() : this.#index.scopes.of(namespace);
  }

  subscribe(key: TaskKey, subscriber: TaskSubscriber): Unsubscribe {
    return this.#hub.subscribe(nameOfKey(key), subscriber);
  }

  figures(): ViewFigures {
    return {
      appliedRevision: this.appliedRevision,
      proofAgeSeconds: (performance.now() - this.provenMs) / 1_000,
      rows: this.#index.rows,
      indexBytes: this.#index.bytes,
    };
  }

  settle(): void {
    if (this.#closed) return;
    const { changes, count, revision } = this.#pending.take();
    if (count > 0) {
      try {
        this.#index.apply(changes.values());
      } catch (error) {
        this.#startOver(error);
        return;
      }
      this.#options.observer?.viewChangesApplied(count);
      for (const [name, change] of changes) this.#hand(name, change);
    }
    this.appliedRevision = revision;
    this.#applied.release(revision);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#expiry);
    this.#pending.clear();
    this.#fresh.stop();
    this.#records.stop();
    const error = new TaskError("STORE_UNAVAILABLE", "the view is closed");
    this.#applied.rejectAll(error);
    this.#readiness.rejectAll(error);
    await this.#records.done;
    this.#index.close();
  }

  #followRecords(): RecordFeed {
    const events: RecordFeedEvents = {
      onRecord: (key, revision, { head, status }, { writtenMs }) =>
        this.#pending.addRecord({
          key,
          revision,
          state: head.state,
          change: head.change,
          expireMs: Number(head.expireMs),
          bytes: status,
          immutableLength: head.immutableLength,
          writtenMs,
        }),
      onRemoved: (key, revision) => this.#pending.addRemoval(key, revision),
      onCaughtUp: (revision) => {
        this.#pending.moveTo(revision);
        this.settle();
        this.#caughtUp = true;
        this.#noteReady();
      },
      onProof: () => (this.provenMs = performance.now()),
      onFloor: (firstRevision) => {
        this.settle();
        return this.#index.holdsFromBefore(firstRevision);
      },
      onReplaced: (created) => this.#onReplaced(created),
      onRestart: (why) => {
        this.#options.observer?.viewFollowerRestarted();
        this.#trouble("status feed is made anew", why);
      },
      onTrouble: (what, detail) => this.#trouble(what, detail),
    };
    return followRecords(this.#options.nats, events, { inboxPrefix: this.#options.inboxPrefix });
  }

  #followFresh(): FreshFeed {
    const events = {
      onFresh: (task: FreshTask) => this.#pending.addFresh(task),
      onTrouble: (what: string, detail: string) => this.#trouble(what, detail),
    };
    const feed = followFresh(this.#options.nats, events, { inboxPrefix: this.#options.inboxPrefix });
    void feed.ready.then(() => {
      if (feed !== this.#fresh) return;
      this.#queuesRead = true;
      this.#noteReady();
    });
    return feed;
  }

  #noteReady(): void {
    if (!this.ready) return;
    this.settle();
    this.#readiness.release(0);
  }

  #hand(name: string, change: PendingChange): void {
    if (!this.#hub.has(name)) return;
    if (change.kind === "removed") {
      this.#hub.tell(name, (subscriber) => subscriber.onRemoved("deleted"));
      return;
    }
    const status = change.kind === "record" ? ownStatus(change.record) : this.#index.get(change.task.key);
    if (status === undefined) return;
    const writtenMs = change.kind === "record" ? change.record.writtenMs : undefined;
    this.#hub.tell(name, (subscriber) => subscriber.onStatus(status, writtenMs));
  }

  #expire(): void {
    if (this.#closed) return;
    const removed = this.#index.expire(expireBatch);
    for (const key of removed) this.#hub.tell(nameOfKey(key), (subscriber) => subscriber.onRemoved("expired"));
    if (removed.length === expireBatch) setImmediate(() => this.#expire());
  }

  #onReplaced(created: string): void {
    this.#trouble("store was replaced", created);
    this.epoch = createHash("sha256").update(String(this.#options.epoch)).update(created).digest().readBigUInt64BE(0);
    this.#forget();
    this.#hub.tellAll((subscriber) => subscriber.onReplaced());
    this.#applied.rejectAll(new TaskError("STORE_REPLACED", "the store was replaced"));
    // Of tasks that wait, the queues know, and they may be as they were.
    this.#fresh.stop();
    this.#fresh = this.#followFresh();
  }

  /** The index failed, and may be anything: it is made again from the beginning. Subscribers go on where they are. */
  #startOver(error: unknown): void {
    this.#trouble("index failed", String(error));
    this.#forget();
    this.#records.stop();
    this.#fresh.stop();
    this.#records = this.#followRecords();
    this.#fresh = this.#followFresh();
  }

  #forget(): void {
    this.#pending.clear();
    this.#index.clear();
    this.appliedRevision = 0;
    this.#caughtUp = false;
    this.#queuesRead = false;
  }

  #trouble(what: string, detail: string): void {
    this.#options.onTrouble?.(what, detail);
  }
}

/** A status without ties to the network's buffers, which are much larger than it is. */
function ownStatus({ key, revision, state, change, expireMs: forgetMs, bytes }: StatusSnapshot): StatusSnapshot {
  return { key, revision, state, change, expireMs: forgetMs, bytes: Buffer.from(bytes) };
}

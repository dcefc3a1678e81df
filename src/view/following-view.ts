import { createHash } from "node:crypto";

import { followFresh, type FreshFeed } from "../nats/fresh-feed.ts";
import { followRecords, type RecordFeed, type RecordFeedEvents, silenceMs } from "../nats/record-feed.ts";
import { TaskError } from "../task/errors.ts";
import type { TaskKey } from "../task/task-id.ts";
import type { FreshTask } from "../task/task.ts";
import type { TaskSubscriber, Unsubscribe } from "./hub.ts";
import type { IndexedStatus } from "./index-store.ts";
import { RevisionWaiters, type WaitOptions } from "./revision-waiters.ts";
import type { Scope } from "./scopes.ts";
import type { TaskQuery, TaskRows } from "./task-query.ts";
import { ViewState } from "./view-state.ts";
import type { View, ViewFigures, ViewOptions } from "./view.ts";

const expireMs = 1_000;

/** A view that follows both feeds. See view.ts. */
export class FollowingView implements View {
  readonly #options: ViewOptions;
  readonly #state: ViewState;
  readonly #readiness = new RevisionWaiters();
  readonly #expiry: NodeJS.Timeout;
  #records: RecordFeed;
  #fresh: FreshFeed;
  #isCaughtUp = false;
  #areQueuesRead = false;
  #epoch: bigint;
  #provenMs = Number.NEGATIVE_INFINITY;

  constructor(options: ViewOptions) {
    this.#options = options;
    this.#epoch = options.epoch;
    this.#state = new ViewState({
      nowMs: options.nowMs ?? Date.now,
      onApplied: (count) => options.observer?.viewChangesApplied(count),
      onIndexFailed: (error) => this.#startOver(error),
      onTrouble: (what, detail) => this.#trouble(what, detail),
    });
    this.#records = this.#followRecords();
    this.#fresh = this.#followFresh();
    this.#expiry = setInterval(() => this.#state.expire(), expireMs);
  }

  get epoch(): bigint {
    return this.#epoch;
  }

  get appliedRevision(): number {
    return this.#state.appliedRevision;
  }

  get provenMs(): number {
    return this.#provenMs;
  }

  get isProven(): boolean {
    return this.ready && performance.now() - this.#provenMs <= silenceMs;
  }

  get ready(): boolean {
    return this.#isCaughtUp && this.#areQueuesRead;
  }

  get subscriptions(): number {
    return this.#state.subscriptions;
  }

  async whenReady(options: WaitOptions): Promise<void> {
    if (!this.ready) await this.#readiness.wait(0, options);
  }

  waitFor(revision: number, options: WaitOptions): Promise<void> {
    return this.#state.waitFor(revision, options);
  }

  get(key: TaskKey): IndexedStatus | undefined {
    return this.#state.get(key);
  }

  mayHaveRecord(key: TaskKey): boolean {
    return this.#state.mayHaveRecord(key);
  }

  addFresh(task: FreshTask): void {
    this.#state.addFresh(task);
  }

  query(query: TaskQuery): TaskRows {
    return this.#state.query(query);
  }

  scopes(namespace?: string): Iterable<Scope> {
    const { scopes } = this.#state;
    return namespace === undefined ? scopes.all() : scopes.of(namespace);
  }

  settle(): void {
    this.#state.settle();
  }

  subscribe(key: TaskKey, subscriber: TaskSubscriber): Unsubscribe {
    return this.#state.subscribe(key, subscriber);
  }

  figures(): ViewFigures {
    const { appliedRevision, rows, bytes } = this.#state;
    const proofAgeSeconds = (performance.now() - this.#provenMs) / 1_000;
    return { appliedRevision, proofAgeSeconds, rows, indexBytes: bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#expiry);
    this.#fresh.stop();
    this.#records.stop();
    const error = new TaskError("STORE_UNAVAILABLE", "the view is closed");
    this.#readiness.rejectAll(error);
    this.#state.close(error);
    await this.#records.done;
  }

  #followRecords(): RecordFeed {
    const events: RecordFeedEvents = {
      onRecord: (record) => this.#state.addRecord(record),
      onRemoved: (key, revision) => this.#state.addRemoval(key, revision),
      onCaughtUp: (revision) => {
        this.#state.moveTo(revision);
        this.#isCaughtUp = true;
        this.#noteReady();
      },
      onProof: () => (this.#provenMs = performance.now()),
      onFloor: (firstRevision) => this.#state.holdsFromBefore(firstRevision),
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
      onFresh: (task: FreshTask) => this.#state.addFresh(task),
      onTrouble: (what: string, detail: string) => this.#trouble(what, detail),
    };
    const feed = followFresh(this.#options.nats, events, { inboxPrefix: this.#options.inboxPrefix });
    void feed.ready.then(() => {
      if (feed !== this.#fresh) return;
      this.#areQueuesRead = true;
      this.#noteReady();
    });
    return feed;
  }

  #noteReady(): void {
    if (!this.ready) return;
    this.#state.settle();
    this.#readiness.release(0);
  }

  #onReplaced(created: string): void {
    this.#trouble("store was replaced", created);
    this.#epoch = createHash("sha256").update(String(this.#options.epoch)).update(created).digest().readBigUInt64BE(0);
    this.#forget();
    this.#state.replaced(new TaskError("STORE_REPLACED", "the store was replaced"));
    // Of tasks that wait, the queues know, and they may be as they were.
    this.#fresh.stop();
    this.#fresh = this.#followFresh();
  }

  /** The index is made again from the beginning. Subscribers go on where they are. */
  #startOver(error: unknown): void {
    this.#trouble("index failed", String(error));
    this.#forget();
    this.#records.stop();
    this.#fresh.stop();
    this.#records = this.#followRecords();
    this.#fresh = this.#followFresh();
  }

  #forget(): void {
    this.#state.clear();
    this.#isCaughtUp = false;
    this.#areQueuesRead = false;
  }

  #trouble(what: string, detail: string): void {
    this.#options.onTrouble?.(what, detail);
  }
}

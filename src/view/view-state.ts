import type { FollowedRecord } from "../nats/followed-record.ts";
import type { TaskKey } from "../task/task-id.ts";
import type { FreshTask, StatusSnapshot } from "../task/task.ts";
import { Hub, nameOfKey, type TaskSubscriber, type Unsubscribe } from "./hub.ts";
import { type IndexedStatus, IndexStore } from "./index-store.ts";
import { type PendingChange, PendingChanges } from "./pending-changes.ts";
import { RevisionWaiters, type WaitOptions } from "./revision-waiters.ts";
import type { Scopes } from "./scopes.ts";
import { createTaskQueries, type QueryTasks, type TaskQuery, type TaskRows } from "./task-query.ts";

/** What the state of a view needs. */
export interface ViewStateOptions {
  readonly nowMs: () => number;
  /** So many changes were applied. */
  readonly onApplied: (count: number) => void;
  /** The index failed, and may hold anything: it is to be cleared and filled again. */
  readonly onIndexFailed: (error: unknown) => void;
  readonly onTrouble: (what: string, detail: string) => void;
}

/** What is removed in one turn: a few ms of work. */
const expireBatch = 250;

/** What a view knows, and how it moves: see the head of view.ts. Where changes come from is of no interest here. */
export class ViewState {
  readonly #options: ViewStateOptions;
  readonly #index: IndexStore;
  readonly #query: QueryTasks;
  readonly #hub: Hub;
  readonly #pending: PendingChanges;
  readonly #waiters = new RevisionWaiters();
  #appliedRevision = 0;
  #isClosed = false;

  constructor(options: ViewStateOptions) {
    const { nowMs, onTrouble } = options;
    this.#options = options;
    this.#index = new IndexStore({ nowMs, onTrouble });
    this.#query = createTaskQueries(this.#index, { nowMs });
    this.#hub = new Hub((error) => onTrouble("subscriber failed", String(error)));
    this.#pending = new PendingChanges(() => this.settle());
  }

  get appliedRevision(): number {
    return this.#appliedRevision;
  }

  get scopes(): Scopes {
    return this.#index.scopes;
  }

  get rows(): number {
    return this.#index.rows;
  }

  get bytes(): number {
    return this.#index.bytes;
  }

  get subscriptions(): number {
    return this.#hub.size;
  }

  /** A record was written. */
  addRecord(record: FollowedRecord): void {
    this.#pending.addRecord(record);
  }

  /** A record was deleted. */
  addRemoval(key: TaskKey, revision: number): void {
    this.#pending.addRemoval(key, revision);
  }

  /** A task has no record yet. */
  addFresh(task: FreshTask): void {
    this.#pending.addFresh(task);
  }

  /** Everything up to a revision was told. */
  moveTo(revision: number): void {
    this.#pending.moveTo(revision);
    this.settle();
  }

  settle(): void {
    if (this.#isClosed) return;
    const { changes, count, revision } = this.#pending.take();
    if (count > 0) {
      try {
        this.#index.apply(changes.values());
      } catch (error) {
        this.#options.onIndexFailed(error);
        return;
      }
      this.#options.onApplied(count);
      for (const [name, change] of changes) this.#hand(name, change);
    }
    this.#appliedRevision = revision;
    this.#waiters.release(revision);
  }

  get(key: TaskKey): IndexedStatus | undefined {
    if (this.#pending.has(nameOfKey(key))) this.settle();
    return this.#index.get(key);
  }

  mayHaveRecord(key: TaskKey): boolean {
    if (this.#pending.has(nameOfKey(key))) this.settle();
    return this.#index.mayHaveRecord(key);
  }

  query(query: TaskQuery): TaskRows {
    this.settle();
    return this.#query(query);
  }

  subscribe(key: TaskKey, subscriber: TaskSubscriber): Unsubscribe {
    return this.#hub.subscribe(nameOfKey(key), subscriber);
  }

  async waitFor(revision: number, options: WaitOptions): Promise<void> {
    if (revision > this.#appliedRevision) await this.#waiters.wait(revision, options);
  }

  /** Whether something is known from before `firstRevision` that should still be stored. */
  holdsFromBefore(firstRevision: number): boolean {
    this.settle();
    return this.#index.holdsFromBefore(firstRevision);
  }

  /** Removes what is over, a bounded number in each turn. */
  expire(): void {
    if (this.#isClosed) return;
    const removed = this.#index.expire(expireBatch);
    for (const key of removed) this.#hub.tell(nameOfKey(key), (subscriber) => subscriber.onRemoved("expired"));
    if (removed.length === expireBatch) setImmediate(() => this.expire());
  }

  /** Forgets everything but who hears of what, and starts at the beginning. */
  clear(): void {
    this.#pending.clear();
    this.#index.clear();
    this.#appliedRevision = 0;
  }

  /** Tells everybody, and whoever waits, that nothing holds any more. */
  replaced(error: Error): void {
    this.#waiters.rejectAll(error);
    this.#hub.tellAll((subscriber) => subscriber.onReplaced());
  }

  close(error: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#pending.clear();
    this.#waiters.rejectAll(error);
    this.#index.close();
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
}

/** A status without ties to the network's buffers, which are much larger than it is. */
function ownStatus({ key, revision, state, change, expireMs, bytes }: StatusSnapshot): StatusSnapshot {
  return { key, revision, state, change, expireMs, bytes: Buffer.from(bytes) };
}

/**
 * The view: a copy of all statuses in this process, always following.
 *
 *     bucket ──▶ record feed ─┐
 *                             ├─▶ changes of this turn ──▶ index ──▶ subscribers, those who wait
 *     queues ──▶ fresh feed ──┘
 *
 * There is one order. The changes that arrive in one turn of the event loop are merged by task, applied to the index in one
 * transaction, handed to the subscribers in the order of revisions, and only then does `appliedRevision` move: whoever
 * reads it knows that everything up to it is in the index and was handed on.
 */
import type { Nats } from "../nats/connection.ts";
import type { TaskKey } from "../task/task-id.ts";
import type { FreshTask } from "../task/task.ts";
import { FollowingView } from "./following-view.ts";
import type { TaskSubscriber, Unsubscribe } from "./hub.ts";
import type { IndexedStatus } from "./index-store.ts";
import type { WaitOptions } from "./revision-waiters.ts";
import type { Scope } from "./scopes.ts";
import type { TaskQuery, TaskRows } from "./task-query.ts";

/** Is told what the view does, for counting. */
export interface ViewObserver {
  viewChangesApplied(count: number): void;
  viewFollowerRestarted(): void;
}

/** What a view needs. */
export interface ViewOptions {
  readonly nats: Nats;
  /** Names the store; see `Store`. */
  readonly epoch: bigint;
  /** Where messages are received. Default `_INBOX`. */
  readonly inboxPrefix?: string | undefined;
  readonly observer?: ViewObserver | undefined;
  /** Is told what goes wrong, for the log. The view carries on. */
  readonly onTrouble?: ((what: string, detail: string) => void) | undefined;
  readonly nowMs?: () => number;
}

/** How the view is doing. */
export interface ViewFigures {
  readonly appliedRevision: number;
  readonly proofAgeSeconds: number;
  readonly rows: number;
  readonly indexBytes: number;
}

/** The view, as its readers see it. */
export interface View extends AsyncDisposable {
  /** Names the store that is followed: what was said of another one is void. */
  readonly epoch: bigint;
  /** Everything up to this revision is in the index and was handed to the subscribers. */
  readonly appliedRevision: number;
  /** When the feed was last proven to be in sync, in ms of the monotonic clock. */
  readonly provenMs: number;
  /** Whether that is recent: nothing that happened more than 2 s ago is missing. */
  readonly isProven: boolean;
  /** Whether the bucket was read to its end, and every queue once. */
  readonly ready: boolean;
  /** Resolves when ready; rejects with STORE_UNAVAILABLE when that takes too long, or with the signal's reason. */
  whenReady(options: WaitOptions): Promise<void>;
  /** Resolves when `revision` is applied; rejects like `whenReady`, and with STORE_REPLACED when it never will be. */
  waitFor(revision: number, options: WaitOptions): Promise<void>;
  /** The status of a task; undefined if there is none, or it is not known yet. */
  get(key: TaskKey): IndexedStatus | undefined;
  /**
   * Whether the store may have a record of a task, as of `appliedRevision`. Says so for another minute when the time of the
   * record is over, because the store forgets by its own clock.
   */
  mayHaveRecord(key: TaskKey): boolean;
  /** Shows a task that was stored or found just now, rather than when the queue tells of it. */
  addFresh(task: FreshTask): void;
  /** A page of a list, true at `appliedRevision`. */
  query(query: TaskQuery): TaskRows;
  /** The queues of a namespace with the counts of their tasks; of all namespaces, where none is named. */
  scopes(namespace?: string): Iterable<Scope>;
  /** Applies and hands on what has arrived. */
  settle(): void;
  /** Hears of a task from now on. */
  subscribe(key: TaskKey, subscriber: TaskSubscriber): Unsubscribe;
  /** How many subscriptions there are. */
  readonly subscriptions: number;
  figures(): ViewFigures;
}

/** Starts following. The view answers at once, and is complete when it is ready. */
export function openView(options: ViewOptions): View {
  return new FollowingView(options);
}

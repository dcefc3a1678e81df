import type { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import type { TaskKey } from "../task/task-id.ts";
import { hasEnded, type StatusSnapshot } from "../task/task.ts";
import type { RemovalReason, TaskSubscriber, Unsubscribe } from "../view/hub.ts";
import type { Timer } from "./timer-wheel.ts";

/** What a task has to tell its watcher. */
export type Due =
  | {
      readonly kind: "status";
      readonly status: StatusSnapshot;
      readonly writtenMs: number | undefined;
      /** Whether it stands for what was found at the beginning. */
      readonly snapshot: boolean;
    }
  | { readonly kind: "removed"; readonly reason: RemovalReason | "unknown" };

/** The watch of a task. */
export interface WatchedTaskOwner {
  readonly minIntervalMs: number;
  /** Lets the task tell what is due, after all others that have something to tell. */
  enqueue(task: WatchedTask): void;
  /** Takes note that something of the task is told later than its revision says. */
  noteBehind(task: WatchedTask): void;
  /** Calls back after a while. */
  schedule(delayMs: number, callback: () => void): Timer;
  /** Takes note that what is due has grown by so many bytes, or shrunk. */
  account(bytes: number): void;
  onReplaced(): void;
}

/** What a watch knows of a task when it begins. */
export interface WatchedTaskStart {
  readonly key: TaskKey;
  /** Its place in the sorted list of ids. */
  readonly position: number;
  /** As found; undefined if it is gone. */
  readonly found: StatusSnapshot | undefined;
  /** Whether what was found is to be sent. */
  readonly isOwed: boolean;
  /** The last change sent; 0: not known. */
  readonly sentChange: number;
}

/**
 * One task of a watch.
 *
 * - `owed`: what was found at the beginning is still to be sent, and is what the index has;
 * - `live`: what is to be sent, if anything, is `due`: the latest status;
 * - `ended`: nothing more is sent.
 */
export class WatchedTask implements TaskSubscriber {
  readonly key: TaskKey;
  readonly position: number;
  readonly #owner: WatchedTaskOwner;
  #phase: "owed" | "live" | "ended";
  #knownRevision: number;
  #knownChange: number;
  #sentChange: number;
  #sentState: TaskState | undefined;
  #sentMs = Number.NEGATIVE_INFINITY;
  #due: Due | undefined;
  /** Runs while what is due is held back. */
  #holding: Timer | undefined;
  #unsubscribe: Unsubscribe | undefined;

  constructor(owner: WatchedTaskOwner, start: WatchedTaskStart) {
    const { key, position, found, isOwed, sentChange } = start;
    this.key = key;
    this.position = position;
    this.#owner = owner;
    this.#phase = isOwed ? "owed" : "live";
    this.#knownRevision = found?.revision ?? -1;
    this.#knownChange = found?.change ?? 0;
    this.#sentChange = sentChange;
    this.#sentState = isOwed ? undefined : found?.state;
  }

  get isOwed(): boolean {
    return this.#phase === "owed";
  }

  /** Ends with the subscription. */
  hear(unsubscribe: Unsubscribe): void {
    this.#unsubscribe = unsubscribe;
  }

  onStatus(status: StatusSnapshot, writtenMs: number | undefined): void {
    if (this.#phase === "ended" || this.#due?.kind === "removed" || !this.#isNews(status)) return;
    const isHeartbeat = this.#knownRevision > 0 && status.change === this.#knownChange;
    this.#knownRevision = status.revision;
    this.#knownChange = status.change;
    if (this.#phase === "owed") {
      // What was found is not in the index any more.
      this.#phase = "live";
      this.#setDue({ kind: "status", status, writtenMs, snapshot: true });
      this.#owner.enqueue(this);
    } else if (!isHeartbeat) {
      this.#change(status, writtenMs);
    }
  }

  onRemoved(reason: RemovalReason | "unknown"): void {
    if (this.#phase === "ended") return;
    if (this.#due?.kind === "status" && hasEnded(this.#due.status)) return;
    this.#phase = "live";
    this.#setDue({ kind: "removed", reason });
    this.#releaseHold();
    this.#owner.enqueue(this);
  }

  onReplaced(): void {
    this.#owner.onReplaced();
  }

  /** Hands over what is due. */
  takeDue(): Due | undefined {
    const due = this.#due;
    this.#setDue(undefined);
    return due;
  }

  /** Takes note that a status is being sent; returns how many changes were left out since the one before. */
  noteSent({ change, state }: StatusSnapshot): number {
    const merged = this.#sentChange === 0 ? 0 : Math.max(0, change - this.#sentChange - 1);
    this.#phase = "live";
    this.#sentChange = change;
    this.#sentState = state;
    if (this.#owner.minIntervalMs > 0) this.#sentMs = performance.now();
    return merged;
  }

  /** Releases everything. Idempotent. */
  end(): void {
    this.#phase = "ended";
    this.#setDue(undefined);
    this.#releaseHold();
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  #isNews({ revision, change }: StatusSnapshot): boolean {
    if (revision !== this.#knownRevision) return revision > this.#knownRevision;
    return change > this.#knownChange;
  }

  #change(status: StatusSnapshot, writtenMs: number | undefined): void {
    const queued = this.#due !== undefined && this.#holding === undefined;
    const snapshot = this.#due?.kind === "status" && this.#due.snapshot;
    this.#setDue({ kind: "status", status, writtenMs, snapshot });
    const waitMs =
      queued || !this.#isProgress(status) ? 0 : this.#sentMs + this.#owner.minIntervalMs - performance.now();
    if (waitMs <= 0) {
      this.#releaseHold();
      this.#owner.enqueue(this);
      return;
    }
    this.#owner.noteBehind(this);
    this.#holding ??= this.#owner.schedule(waitMs, () => {
      this.#holding = undefined;
      this.#owner.enqueue(this);
    });
  }

  #isProgress(status: StatusSnapshot): boolean {
    return status.state === this.#sentState && !hasEnded(status);
  }

  #setDue(due: Due | undefined): void {
    const change = bytesOf(due) - bytesOf(this.#due);
    this.#due = due;
    if (change !== 0) this.#owner.account(change);
  }

  #releaseHold(): void {
    this.#holding?.cancel();
    this.#holding = undefined;
  }
}

function bytesOf(due: Due | undefined): number {
  return due?.kind === "status" ? due.status.bytes.length : 0;
}

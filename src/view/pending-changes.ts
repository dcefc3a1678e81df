import { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import type { FollowedRecord } from "../nats/followed-record.ts";
import type { TaskKey } from "../task/task-id.ts";
import { type FreshTask, queuedChange, scheduledChange } from "../task/task.ts";
import { nameOfKey } from "./hub.ts";
import type { IndexChange } from "./index-store.ts";

/** A change that is to be applied and handed on. */
export type PendingChange =
  | { readonly kind: "record"; readonly record: FollowedRecord }
  | Exclude<IndexChange, { readonly kind: "record" }>;

/** What is to be applied at once. */
export interface PendingBatch {
  /** By the name of the task, in the order of revisions. */
  readonly changes: ReadonlyMap<string, PendingChange>;
  /** How many changes there were before they were merged. */
  readonly count: number;
  /** Everything up to this revision was told. */
  readonly revision: number;
}

/** More than this is applied without waiting for the end of the turn, so that no turn gets long. */
const maxPending = 1_000;

/** The changes that arrive in one turn of the event loop, several of one task merged into the last of them. */
export class PendingChanges {
  readonly #settle: () => void;
  #changes = new Map<string, PendingChange>();
  #count = 0;
  #revision = 0;
  #scheduled: NodeJS.Immediate | undefined;

  /** `settle` is called when what has come is to be taken: at the end of the turn, or at once where it must not be merged. */
  constructor(settle: () => void) {
    this.#settle = settle;
  }

  /** Whether a change of the task is pending. */
  has(name: string): boolean {
    return this.#changes.has(name);
  }

  addRecord(record: FollowedRecord): void {
    this.#revision = record.revision;
    this.#put(nameOfKey(record.key), { kind: "record", record });
  }

  addRemoval(key: TaskKey, revision: number): void {
    const name = nameOfKey(key);
    // What a task was last is not to be merged away by its being gone.
    if (this.#changes.has(name)) this.#settle();
    this.#revision = revision;
    this.#put(name, { kind: "removed", key, revision });
  }

  /** A record wins over a fresh task, and QUEUED over SCHEDULED. */
  addFresh(task: FreshTask): void {
    const name = nameOfKey(task.key);
    const pending = this.#changes.get(name);
    if (pending !== undefined && pending.kind !== "fresh") return;
    if (pending !== undefined && changeOf(pending.task) >= changeOf(task)) return;
    this.#put(name, { kind: "fresh", task });
  }

  /** Everything up to this revision was told, whether it was stored or not. */
  moveTo(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  /** Hands over what there is. */
  take(): PendingBatch {
    const batch = { changes: this.#changes, count: this.#count, revision: this.#revision };
    if (this.#count > 0) {
      this.#changes = new Map();
      this.#count = 0;
    }
    return batch;
  }

  /** Forgets what there is, and starts at the beginning. */
  clear(): void {
    this.#changes = new Map();
    this.#count = 0;
    this.#revision = 0;
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
  }

  #put(name: string, change: PendingChange): void {
    // Taken out first, so that the order is that of the last changes.
    this.#changes.delete(name);
    this.#changes.set(name, change);
    this.#count += 1;
    if (this.#changes.size >= maxPending) {
      this.#settle();
      return;
    }
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.#settle();
    });
  }
}

function changeOf({ state }: FreshTask): number {
  return state === TaskState.SCHEDULED ? scheduledChange : queuedChange;
}

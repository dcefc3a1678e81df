/**
 * Waits for the ends of many tasks over few streams: waits that begin in the same turn of the event loop share a watch of up
 * to 1,000 tasks. When many watches are open, waits are gathered for longer, and the smallest watches are joined.
 */
import type { Clock } from "../clock.ts";
import type { ReadResult } from "../status/read-statuses.ts";
import { isTerminal, type TaskStatus } from "../status/task-status.ts";
import { clientClosed, TaskwatchError, toTaskwatchError } from "../taskwatch-error.ts";
import type { Watch, WatchEvent } from "./watch-event.ts";

/** The bounds of waiting. */
export interface WaitLimits {
  /** Tasks of one watch. At most 1,000, which is what the service takes. */
  readonly maxTasks: number;
  /** Watches from which on waits are gathered for longer, and beyond which small watches are joined. */
  readonly maxWatches: number;
}

/** What waiting is made of. */
export interface WaitOptions {
  readonly watch: (taskIds: readonly string[]) => Watch;
  readonly read: (taskIds: readonly string[]) => Promise<readonly ReadResult[]>;
  readonly clock: Clock;
  readonly limits?: WaitLimits;
}

/** What suits a client that does not know better. */
export const defaultWaitLimits: WaitLimits = { maxTasks: 1_000, maxWatches: 64 };

/** How long waits are gathered when many watches are open: each watch that is left costs the service a reset. */
const gatherMs = 100;

/** One who waits for a task. */
interface Waiter {
  readonly resolve: (status: TaskStatus) => void;
  readonly reject: (error: Error) => void;
}

/** Tasks that are watched together, each with those who wait for it. */
interface Group {
  readonly tasks: Map<string, Set<Waiter>>;
  watch: Watch | undefined;
}

/** Gathers waits into watches. */
export class WaitGroups {
  readonly #options: WaitOptions;
  readonly #limits: WaitLimits;
  /** Where each task is that somebody waits for. */
  readonly #groupOf = new Map<string, Group>();
  readonly #groups = new Set<Group>();
  /** What the next watch will be of. */
  #gathering: Group | undefined;
  #cancelOpening: (() => void) | undefined;
  #closed = false;

  constructor(options: WaitOptions) {
    this.#options = options;
    this.#limits = options.limits ?? defaultWaitLimits;
  }

  /** The terminal status. Rejects with NOT_FOUND when there is no such task any more, or with the signal's reason. */
  wait(taskId: string, signal: AbortSignal | undefined): Promise<TaskStatus> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw clientClosed();
      if (signal?.aborted) throw signal.reason;
      const onAbort = (): void => {
        this.#leave(taskId, waiter);
        reject(signal?.reason as Error);
      };
      const waiter: Waiter = {
        resolve: (status) => {
          signal?.removeEventListener("abort", onAbort);
          resolve(status);
        },
        reject: (error) => {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#join(taskId, waiter);
    });
  }

  /** Fails all who wait. */
  close(): void {
    this.#closed = true;
    this.#cancelOpening?.();
    for (const group of this.#groups) this.#drop(group, clientClosed());
  }

  #join(taskId: string, waiter: Waiter): void {
    const group = this.#groupOf.get(taskId) ?? this.#gather();
    const waiters = group.tasks.get(taskId);
    if (waiters === undefined) group.tasks.set(taskId, new Set([waiter]));
    else waiters.add(waiter);
    this.#groupOf.set(taskId, group);
  }

  #gather(): Group {
    if (this.#gathering !== undefined && this.#gathering.tasks.size < this.#limits.maxTasks) return this.#gathering;
    this.#gathering = { tasks: new Map(), watch: undefined };
    this.#groups.add(this.#gathering);
    this.#cancelOpening ??= this.#soon(() => this.#openGathered());
    return this.#gathering;
  }

  #soon(callback: () => void): () => void {
    if (this.#groups.size > this.#limits.maxWatches) return this.#options.clock.after(gatherMs, callback);
    const immediate = setImmediate(callback);
    return () => clearImmediate(immediate);
  }

  #openGathered(): void {
    this.#cancelOpening = undefined;
    this.#gathering = undefined;
    this.#joinSmallest();
    for (const group of this.#groups) if (group.watch === undefined) void this.#follow(group);
  }

  /** Half of the watches go, as far as their tasks fit into one, so that joining stays rare. */
  #joinSmallest(): void {
    if (this.#groups.size <= this.#limits.maxWatches) return;
    const bySize = [...this.#groups].sort((a, b) => a.tasks.size - b.tasks.size);
    let size = 0;
    const fitting = bySize
      .slice(0, Math.ceil(this.#limits.maxWatches / 2) + 1)
      .filter(({ tasks }) => (size += tasks.size) <= this.#limits.maxTasks);
    if (fitting.length < 2) return;
    const joined: Group = { tasks: new Map(), watch: undefined };
    for (const group of fitting) {
      this.#release(group);
      for (const [taskId, waiters] of group.tasks) {
        joined.tasks.set(taskId, waiters);
        this.#groupOf.set(taskId, joined);
      }
    }
    this.#groups.add(joined);
  }

  async #follow(group: Group): Promise<void> {
    const watch = this.#options.watch([...group.tasks.keys()]);
    group.watch = watch;
    try {
      for await (const event of watch) this.#onEvent(group, event);
      // Otherwise the group was given up, and its tasks may be in another one by now.
      if (group.watch === watch) this.#drop(group, new TaskwatchError("INTERNAL", "watch ended before its tasks did"));
    } catch (error) {
      if (group.watch === watch) this.#onFailure(group, error as Error);
    }
  }

  #onEvent(group: Group, event: WatchEvent): void {
    if (event.kind === "status" && isTerminal(event.status.state)) {
      for (const waiter of this.#remove(group, event.status.taskId)) waiter.resolve(event.status);
    } else if (event.kind === "removed") {
      for (const waiter of this.#remove(group, event.taskId)) waiter.reject(gone(event.taskId));
    }
  }

  #onFailure(group: Group, error: Error): void {
    // A task that is not there must not fail the waits for the others.
    const missing = error instanceof TaskwatchError && error.code === "NOT_FOUND";
    if (missing && group.tasks.size > 1) void this.#followThoseThere(group, error);
    else this.#drop(group, error);
  }

  async #followThoseThere(group: Group, notFound: Error): Promise<void> {
    const size = group.tasks.size;
    try {
      for (const result of await this.#options.read([...group.tasks.keys()])) {
        if (result.error?.code !== "NOT_FOUND") continue;
        for (const waiter of this.#remove(group, result.taskId)) waiter.reject(result.error);
      }
    } catch (error) {
      this.#drop(group, toTaskwatchError(error));
    }
    if (!this.#groups.has(group)) return;
    // All are there, and yet they cannot be watched: going round again would not help.
    if (group.tasks.size === size || group.tasks.size === 0) this.#drop(group, notFound);
    else void this.#follow(group);
  }

  #leave(taskId: string, waiter: Waiter): void {
    const group = this.#groupOf.get(taskId);
    const waiters = group?.tasks.get(taskId);
    if (group === undefined || waiters === undefined) return;
    waiters.delete(waiter);
    if (waiters.size > 0) return;
    this.#remove(group, taskId);
    if (group.tasks.size === 0) this.#release(group);
  }

  #remove(group: Group, taskId: string): Iterable<Waiter> {
    const waiters = group.tasks.get(taskId) ?? [];
    group.tasks.delete(taskId);
    if (this.#groupOf.get(taskId) === group) this.#groupOf.delete(taskId);
    return waiters;
  }

  #drop(group: Group, error: Error): void {
    this.#release(group);
    for (const taskId of group.tasks.keys()) {
      for (const waiter of this.#remove(group, taskId)) waiter.reject(error);
    }
  }

  #release(group: Group): void {
    this.#groups.delete(group);
    if (this.#gathering === group) this.#gathering = undefined;
    const { watch } = group;
    group.watch = undefined;
    void watch?.return();
  }
}

function gone(taskId: string): TaskwatchError {
  const message = "task is gone, and how it ended is not known";
  return new TaskwatchError("NOT_FOUND", message, { reason: "TASK_EXPIRED", metadata: { task_id: taskId } });
}

import { setTimeout as sleep } from "node:timers/promises";

import { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import type { Jobs } from "../nats/jobs.ts";
import type { StatusRecords } from "../nats/records.ts";
import { TaskError, taskExpired, taskNotFound, toTaskError } from "../task/errors.ts";
import { type TaskIds, taskIdFromKey, type TaskKey } from "../task/task-id.ts";
import { type FreshTask, hasEnded, snapshotOfTask, type StatusSnapshot, type Task } from "../task/task.ts";
import { createReadIndex, type ReadIndex } from "./read-index.ts";
import type { View } from "./view.ts";

/** What reading needs. */
export interface StatusReaderOptions {
  readonly view: View;
  readonly jobs: Pick<Jobs, "findFresh">;
  readonly records: Pick<StatusRecords, "read" | "lastRevision">;
  readonly ids: Pick<TaskIds, "isOurs">;
  readonly nowMs: () => number;
}

/** How to read one status. */
export interface ReadStatusOptions {
  /** Instead of asking the leader, wait until the view has this revision, up to 2 s. */
  readonly minRevision?: number | undefined;
  readonly signal: AbortSignal;
}

/** Reads statuses, at least as new as every write that was acknowledged before the call. */
export interface StatusReader {
  /**
   * The status of a task. Throws TASK_NOT_FOUND; TASK_EXPIRED, if there was such a task and it is no longer kept; and
   * STORE_UNAVAILABLE.
   */
  readStatus(key: TaskKey, options: ReadStatusOptions): Promise<StatusSnapshot>;
  /** Those of many tasks, in order, each by itself; the leader is asked once for all of them. */
  readMany(keys: readonly TaskKey[], signal: AbortSignal): Promise<(StatusSnapshot | TaskError)[]>;
  /**
   * Makes sure that whatever there is of these tasks is in the view. Waits for the view to be ready, up to 5 s. Throws
   * NOT_READY and STORE_UNAVAILABLE.
   */
  bringIn(keys: readonly TaskKey[], signal: AbortSignal): Promise<void>;
  /** False only if there certainly is no record of a task now: then nobody needs to be asked for it. */
  mayHaveRecord(key: TaskKey, signal: AbortSignal): Promise<boolean>;
  /** Whether the store has reached a revision. A leader that says no is asked again: it may have been elected just now. */
  hasReached(revision: number, signal: AbortSignal): Promise<boolean>;
}

const catchUpMs = 2_000;
const readyMs = 5_000;
const electionPauses = [100, 400, 1_000];
/** How many tasks of one call are looked for at once. */
const concurrency = 16;

/**
 * Reads from the view, once it is known to be new enough; from the leaders, what is not in it.
 *
 * A task that is accepted is always somewhere: it moves from its delayed message to its job, and its record is written
 * before the job goes. Looked for in that order, it cannot slip past.
 */
export function createStatusReader(options: StatusReaderOptions): StatusReader {
  return new ViewReader(options);
}

class ViewReader implements StatusReader {
  readonly #options: StatusReaderOptions;
  readonly #view: View;
  readonly #readIndex: ReadIndex;

  constructor(options: StatusReaderOptions) {
    this.#options = options;
    this.#view = options.view;
    this.#readIndex = createReadIndex(() => options.records.lastRevision());
  }

  async readStatus(key: TaskKey, { minRevision = 0, signal }: ReadStatusOptions): Promise<StatusSnapshot> {
    const wantsRevision = minRevision > 0 && this.#view.ready;
    if (wantsRevision) await this.#view.waitFor(minRevision, { signal, timeoutMs: catchUpMs });
    const known = this.#view.get(key);
    if (known !== undefined && hasEnded(known)) return known;
    const isCurrent = wantsRevision || (await this.#catchUp(signal));
    return this.#read(key, { isCurrent, signal });
  }

  async readMany(keys: readonly TaskKey[], signal: AbortSignal): Promise<(StatusSnapshot | TaskError)[]> {
    const haveEnded = keys.every((key) => {
      const known = this.#view.get(key);
      return known !== undefined && hasEnded(known);
    });
    const isCurrent = haveEnded || (await this.#catchUp(signal));
    return mapBounded(keys, (key) =>
      this.#read(key, { isCurrent, signal }).catch((error: unknown) => {
        signal.throwIfAborted();
        return toTaskError(error);
      }),
    );
  }

  async bringIn(keys: readonly TaskKey[], signal: AbortSignal): Promise<void> {
    const waitOptions = { signal, timeoutMs: catchUpMs };
    await this.#view.whenReady({ signal, timeoutMs: readyMs }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw new TaskError("NOT_READY", "the service is still starting", { cause: error, retryDelayMs: 1_000 });
    });
    await this.#view.waitFor(await this.#readIndex.read(signal), waitOptions);
    const missing = keys.filter((key) => this.#view.get(key) === undefined);
    await mapBounded(missing, async (key) => {
      const task = await this.#locate(key, signal);
      if (task !== undefined) await this.#view.waitFor(task.revision, waitOptions);
    });
  }

  async mayHaveRecord(key: TaskKey, signal: AbortSignal): Promise<boolean> {
    return !(await this.#catchUp(signal)) || this.#view.mayHaveRecord(key);
  }

  async hasReached(revision: number, signal: AbortSignal): Promise<boolean> {
    if (revision <= this.#view.appliedRevision) return true;
    for (const pauseMs of electionPauses) {
      if (revision <= (await this.#readIndex.read(signal))) {
        await this.#view.waitFor(revision, { signal, timeoutMs: catchUpMs });
        return true;
      }
      await sleep(pauseMs, undefined, { signal });
    }
    return false;
  }

  /** Whether the view can answer now; while it lags behind, the leaders are asked instead. */
  async #catchUp(signal: AbortSignal): Promise<boolean> {
    if (!this.#view.ready) return false;
    const revision = await this.#readIndex.read(signal);
    try {
      await this.#view.waitFor(revision, { signal, timeoutMs: catchUpMs });
      return true;
    } catch (error) {
      if (error instanceof TaskError) return false;
      throw error;
    }
  }

  async #read(
    key: TaskKey,
    { isCurrent, signal }: { readonly isCurrent: boolean; readonly signal: AbortSignal },
  ): Promise<StatusSnapshot> {
    const known = isCurrent ? this.#view.get(key) : undefined;
    if (known !== undefined && isTrusted(known)) return known;
    const task = await this.#locate(key, signal);
    if (task !== undefined) return snapshotOfTask(task);
    throw missingTask(key, this.#options.ids);
  }

  async #locate(key: TaskKey, signal: AbortSignal): Promise<Task | undefined> {
    const { ids, jobs, records, nowMs } = this.#options;
    // Not an id of this deployment: there is no need to ask anybody.
    if (!ids.isOurs(key)) return undefined;
    const waiting = await jobs.findFresh(key, signal);
    const record = await records.read(key, signal);
    if (record !== undefined) return isForgotten(record, nowMs()) ? undefined : record;
    if (waiting !== undefined) this.#view.addFresh(freshFromTask(waiting.task));
    return waiting?.task;
  }
}

/** The error for a task that is not there. */
export function missingTask(key: TaskKey, ids: Pick<TaskIds, "isOurs">): TaskError {
  const taskId = taskIdFromKey(key);
  return ids.isOurs(key) ? taskExpired(taskId) : taskNotFound(taskId);
}

/** Whether the view's word is enough. Of a task that becomes QUEUED the view hears by a feed that may lose it. */
function isTrusted({ revision, state }: StatusSnapshot): boolean {
  return revision > 0 || state !== TaskState.SCHEDULED;
}

function isForgotten({ head }: Task, nowMs: number): boolean {
  return head.expireMs !== 0n && Number(head.expireMs) <= nowMs;
}

function freshFromTask({ key, immutable, head }: Task): FreshTask {
  const state = head.state === TaskState.SCHEDULED ? TaskState.SCHEDULED : TaskState.QUEUED;
  return { key, immutable, state, priority: head.priority };
}

async function mapBounded<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const entries = items.entries();
  const line = async () => {
    for (const [index, item] of entries) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, line));
  return results;
}

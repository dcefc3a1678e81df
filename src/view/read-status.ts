import { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import type { Jobs } from "../nats/jobs.ts";
import type { StatusRecords } from "../nats/records.ts";
import { TaskError, taskExpired, taskNotFound, toTaskError } from "../task/errors.ts";
import { type TaskIds, taskIdFromKey, type TaskKey } from "../task/task-id.ts";
import { type FreshTask, hasEnded, snapshotOfTask, type StatusSnapshot, type Task } from "../task/task.ts";
import { createReadIndex } from "./read-index.ts";
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
}

const catchUpMs = 2_000;
const readyMs = 5_000;
/** How many tasks of one call are looked for at once. */
const concurrency = 16;

/**
 * Reads from the view, once it is known to be new enough; from the leaders, what is not in it.
 *
 * A task that is accepted is always somewhere: it moves from its delayed message to its job, and its record is written
 * before the job goes. Looked for in that order, it cannot slip past.
 */
export function createStatusReader(options: StatusReaderOptions): StatusReader {
  const { view, jobs, records, ids, nowMs } = options;
  const readIndex = createReadIndex({ view, lastRevision: () => records.lastRevision() });

  const locate = async (key: TaskKey, signal: AbortSignal): Promise<Task | undefined> => {
    // Not an id of this deployment: there is no need to ask anybody.
    if (!ids.isOurs(key)) return undefined;
    const waiting = await jobs.findFresh(key, signal);
    const record = await records.read(key, signal);
    if (record !== undefined) return isForgotten(record, nowMs()) ? undefined : record;
    if (waiting !== undefined) view.addFresh(freshFromTask(waiting.task));
    return waiting?.task;
  };

  const readDirectly = async (key: TaskKey, signal: AbortSignal): Promise<StatusSnapshot> => {
    const task = await locate(key, signal);
    if (task !== undefined) return snapshotOfTask(task);
    const taskId = taskIdFromKey(key);
    throw ids.isOurs(key) ? taskExpired(taskId) : taskNotFound(taskId);
  };

  /** Whether the view can answer now; if it lags behind for long, the leaders are asked instead. */
  const catchUp = async (signal: AbortSignal): Promise<boolean> => {
    if (!view.ready) return false;
    try {
      await readIndex.catchUp({ signal, timeoutMs: catchUpMs });
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof TaskError) return false;
      throw error;
    }
  };

  return {
    async readStatus(key, { minRevision = 0, signal }) {
      if (minRevision > 0 && view.ready) await view.waitFor(minRevision, { signal, timeoutMs: catchUpMs });
      const known = view.get(key);
      if (known !== undefined && hasEnded(known)) return known;
      const isCurrent = minRevision > 0 ? view.ready : await catchUp(signal);
      const status = isCurrent ? view.get(key) : undefined;
      return status !== undefined && isTrusted(status) ? status : readDirectly(key, signal);
    },

    async readMany(keys, signal) {
      const allEnded = keys.every((key) => {
        const known = view.get(key);
        return known !== undefined && hasEnded(known);
      });
      const isCurrent = allEnded || (await catchUp(signal));
      return mapBounded(keys, async (key) => {
        const status = isCurrent ? view.get(key) : undefined;
        if (status !== undefined && isTrusted(status)) return status;
        return readDirectly(key, signal).catch((error: unknown) => {
          signal.throwIfAborted();
          return toTaskError(error);
        });
      });
    },

    async bringIn(keys, signal) {
      await view.whenReady({ signal, timeoutMs: readyMs }).catch((error: unknown) => {
        signal.throwIfAborted();
        throw new TaskError("NOT_READY", "the service is still starting", { cause: error, retryDelayMs: 1_000 });
      });
      await readIndex.catchUp({ signal, timeoutMs: catchUpMs });
      const missing = keys.filter((key) => view.get(key) === undefined);
      await mapBounded(missing, async (key) => {
        const task = await locate(key, signal);
        if (task !== undefined) await view.waitFor(task.revision, { signal, timeoutMs: catchUpMs });
      });
    },
  };
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

import { durationMs } from "@bufbuild/protobuf/wkt";

import { GoingAwayEvent_Reason, type WatchStatusRequest } from "../gen/taskwatch/v1/task_service_pb.ts";
import { invalidField, TaskError, taskNotFound } from "../task/errors.ts";
import { type TaskIds, type TaskKey, taskKeyFromId } from "../task/task-id.ts";
import { missingTask, type StatusReader } from "../view/read-status.ts";
import type { View } from "../view/view.ts";
import type { Caller, Watch } from "./operations.ts";
import { readResumeToken, resumeScope, storeReplaced } from "./resume-token.ts";
import { TaskWatch, type TaskWatchOptions } from "./task-watch.ts";
import { TimerWheel } from "./timer-wheel.ts";
import { defaultWatchLimits, type WatchLimits } from "./watch-limits.ts";

/** What watching needs. */
export interface WatchPorts {
  readonly view: View;
  readonly reader: Pick<StatusReader, "bringIn" | "hasReached">;
  readonly ids: Pick<TaskIds, "isOurs">;
  readonly observer?: WatchObserver | undefined;
  readonly limits?: Partial<WatchLimits> | undefined;
}

/** Is told how watchers are served. */
export interface WatchObserver {
  /** A change reached its watcher so long after it was written. */
  watchLag(seconds: number): void;
}

/** The watches of one process. */
export interface Watches {
  /**
   * Opens a watch of the named tasks: the contract is at the head of task-watch.ts. The caller takes events until there are
   * none, and is called when there are more.
   *
   * Throws TASK_NOT_FOUND and TASK_EXPIRED for a task that is not there, unless the watch is resumed; RESUME_TOKEN_INVALID,
   * STORE_REPLACED, STORE_UNAVAILABLE, NOT_READY, DRAINING, and NOT_IMPLEMENTED for a selector.
   */
  watchStatus(
    request: WatchStatusRequest,
    context: { readonly caller: Caller; readonly signal: AbortSignal },
  ): Promise<Watch>;
  /** How many are open. */
  readonly size: number;
  /** Sends all watchers elsewhere, and lets no new ones in. What was open ends as soon as its reader has read that. */
  goingAway(): void;
  /** Releases all watches. Idempotent. */
  close(): void;
}

/** Within what time those return who were sent away by a process that stops, so that not all of them come at once. */
const drainResumeMs = 3_000;

/** Makes the watches of one process. They share one timer. */
export function createWatches(ports: WatchPorts): Watches {
  const { view, observer } = ports;
  const limits = { ...defaultWatchLimits, ...ports.limits };
  const wheel = new TimerWheel();
  const open = new Set<TaskWatch>();
  let isDraining = false;
  const assertOpen = (): void => {
    if (isDraining) throw new TaskError("DRAINING", "the service is stopping", { retryDelayMs: 1_000 });
  };

  return {
    async watchStatus(request, { caller, signal }) {
      assertOpen();
      const beginning = await findBeginning(ports, request, { caller, signal });
      assertOpen();
      const watch = new TaskWatch({
        ...beginning,
        view,
        minIntervalMs: request.minInterval === undefined ? 0 : durationMs(request.minInterval),
        wheel,
        limits,
        onLag: (seconds) => observer?.watchLag(seconds),
        onReleased: () => open.delete(watch),
      });
      open.add(watch);
      return watch;
    },
    get size() {
      return open.size;
    },
    goingAway() {
      isDraining = true;
      for (const watch of open) watch.goAway(GoingAwayEvent_Reason.DRAIN, Math.random() * drainResumeMs);
    },
    close() {
      isDraining = true;
      for (const watch of open) watch.close();
    },
  };
}

/** Where a watch begins. Valid in the turn of the event loop in which it is returned. */
async function findBeginning(
  { view, reader, ids }: WatchPorts,
  request: WatchStatusRequest,
  { caller, signal }: { readonly caller: Caller; readonly signal: AbortSignal },
): Promise<Pick<TaskWatchOptions, "keys" | "found" | "scope" | "resume">> {
  const { keys, sortedIds } = watchedTasks(request, caller.namespace);
  const scope = resumeScope(view.epoch, caller.namespace, sortedIds);
  const resume = request.resumeToken === "" ? undefined : readResumeToken(request.resumeToken, scope, keys.length);
  await reader.bringIn(keys, signal);
  // A token of this store can only be of a revision that the store has reached.
  if (resume !== undefined && !(await reader.hasReached(resume.revision, signal))) throw storeReplaced();
  view.settle();
  if (view.epoch !== scope.epoch) throw storeReplaced();
  if (!view.ready) throw new TaskError("NOT_READY", "the service is reading the store", { retryDelayMs: 1_000 });
  const found = keys.map((key) => view.get(key));
  const missing = keys.find((_key, position) => found[position] === undefined);
  if (resume === undefined && missing !== undefined) throw missingTask(missing, ids);
  return { keys, found, scope, resume };
}

function watchedTasks(
  { taskIds, selector }: WatchStatusRequest,
  namespace: string,
): { readonly keys: readonly TaskKey[]; readonly sortedIds: readonly string[] } {
  if (selector !== undefined) throw new TaskError("NOT_IMPLEMENTED", "watching by selector is not implemented");
  const sortedIds = [...new Set(taskIds)].toSorted();
  if (sortedIds.length === 0) {
    throw invalidField({ field: "task_ids", description: "must name at least one task", rule: "TASK_IDS_MISSING" });
  }
  const keys = sortedIds.map((taskId) => {
    const key = taskKeyFromId(namespace, taskId);
    if (key === undefined) throw taskNotFound(taskId);
    return key;
  });
  return { keys, sortedIds };
}

import type { Jobs } from "../nats/jobs.ts";
import type { StatusRecords } from "../nats/records.ts";
import type { Store } from "../nats/store.ts";
import { createStatusReader } from "../view/read-status.ts";
import type { View } from "../view/view.ts";
import { type CancelObserver, cancelTask } from "./cancel-task.ts";
import { batchGetStatus, getStatus } from "./get-status.ts";
import { listTasks } from "./list-tasks.ts";
import type { TaskOperations } from "./operations.ts";
import { resumeTokenForSubmitted } from "./resume-token.ts";
import { type SubmitObserver, submitTask, submitTasks } from "./submit-task.ts";
import { waitTask } from "./wait-task.ts";
import { createWatches, type WatchObserver } from "./watch-status.ts";

/** What the operations of a process share. */
export interface TaskOperationsOptions {
  readonly store: Store;
  readonly view: View;
  readonly jobs: Jobs;
  readonly records: StatusRecords;
  readonly observer?: (SubmitObserver & CancelObserver & WatchObserver) | undefined;
  readonly nowMs: () => number;
}

/** The operations of one process, and their end. */
export interface OperationsOfProcess extends TaskOperations {
  /** Sends all who watch or wait elsewhere: the process is about to stop. */
  goingAway(): void;
  /** Releases all watches. Idempotent. */
  close(): void;
}

/** The operations of one process. */
export function createTaskOperations(options: TaskOperationsOptions): OperationsOfProcess {
  const { store, view, jobs, records, observer, nowMs } = options;
  const { ids } = store;
  const reader = createStatusReader({ view, jobs, records, ids, nowMs });
  const watches = createWatches({ view, reader, ids, observer });
  const draining = new AbortController();
  const submitPorts = {
    store,
    jobs,
    records,
    reader,
    observer,
    nowMs,
    addFresh: view.addFresh.bind(view),
    resumeTokenFor: (status: Parameters<typeof resumeTokenForSubmitted>[1]) =>
      resumeTokenForSubmitted(view.epoch, status),
  };
  const cancelPorts = { store, jobs, records, observer, nowMs };
  const waitPorts = { view, reader, draining: draining.signal };

  return {
    submitTask: (request, caller, signal) => submitTask(submitPorts, request, { caller, signal }),
    submitTasks: (request, caller, signal) => submitTasks(submitPorts, request, { caller, signal }),
    getStatus: (request, caller, signal) => getStatus(reader, request, { caller, signal }),
    batchGetStatus: (request, caller, signal) => batchGetStatus(reader, request, { caller, signal }),
    watchStatus: (request, caller, signal) => watches.watchStatus(request, { caller, signal }),
    waitTask: (request, caller, signal) => waitTask(waitPorts, request, { caller, signal }),
    listTasks: async (request, caller) => listTasks({ view }, request, { caller }),
    cancelTask: (request, caller, signal) => cancelTask(cancelPorts, request, { caller, signal }),
    goingAway() {
      draining.abort();
      watches.goingAway();
    },
    close: () => watches.close(),
  };
}

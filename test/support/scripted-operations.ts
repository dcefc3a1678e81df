import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { TaskState, TaskStatusSchema } from "../../src/gen/taskwatch/v1/task_pb.ts";
import type { Caller, TaskOperations, Watch, WatchEvent } from "../../src/operations/operations.ts";
import { type TaskError, taskNotFound } from "../../src/task/errors.ts";
import { taskKeyFromId } from "../../src/task/task-id.ts";
import { hasEnded, type StatusSnapshot } from "../../src/task/task.ts";

/** A watch whose events the test decides on. */
export interface ScriptedWatch extends Watch {
  readonly taskIds: readonly string[];
  /** Makes an event due. */
  push(...events: WatchEvent[]): void;
  /** Ends it, after what is due. */
  finish(end: "ok" | TaskError): void;
  readonly closed: boolean;
  /** How many events wait to be taken. */
  readonly due: number;
}

/** Operations over tasks in memory, which the test drives. */
export interface ScriptedOperations extends TaskOperations {
  /** The calls that came, in order. */
  readonly seen: readonly { readonly operation: string; readonly caller: Caller; readonly signal: AbortSignal }[];
  readonly watches: readonly ScriptedWatch[];
  /** Stores a status. */
  put(snapshot: StatusSnapshot): void;
  /** Runs before each operation; what it throws, the operation throws. */
  before: (operation: string, signal: AbortSignal) => void | Promise<void>;
}

/** A task id that is well formed. */
export function scriptedTaskId(number: number, queue = "demo"): string {
  return `${queue}_0${String(number).padStart(25, "0")}`;
}

type StatusInit = MessageInitShape<typeof TaskStatusSchema> & { readonly taskId: string };

/** A status as it is stored. */
export function snapshotFrom(status: StatusInit, revision = 1): StatusSnapshot {
  const key = taskKeyFromId("default", status.taskId)!;
  const message = create(TaskStatusSchema, { queue: key.queue, type: "sleep", state: TaskState.RUNNING, ...status });
  return {
    key,
    revision,
    state: message.state,
    change: revision + 2,
    expireMs: 0,
    bytes: toBinary(TaskStatusSchema, message),
  };
}

/** Makes operations that know the tasks that were `put` or submitted. */
export function createScriptedOperations(): ScriptedOperations {
  const tasks = new Map<string, StatusSnapshot>();
  const seen: { operation: string; caller: Caller; signal: AbortSignal }[] = [];
  const watches: ScriptedWatch[] = [];
  let submitted = 0;

  const enter = async (operation: string, caller: Caller, signal: AbortSignal): Promise<void> => {
    seen.push({ operation, caller, signal });
    await self.before(operation, signal);
  };
  const find = (taskId: string): StatusSnapshot => {
    const found = tasks.get(taskId);
    if (found === undefined) throw taskNotFound(taskId);
    return found;
  };
  const accept = (queue: string, type: string) => {
    submitted += 1;
    const taskId = scriptedTaskId(submitted, queue);
    const status = snapshotFrom({ taskId, queue, type, state: TaskState.QUEUED }, 0);
    tasks.set(taskId, status);
    return { status, resumeToken: `token-${submitted}`, duplicate: false };
  };
  const self: ScriptedOperations = {
    seen,
    watches,
    before: () => {},
    put: (snapshot) => tasks.set(`${snapshot.key.queue}_${snapshot.key.suffix}`, snapshot),
    async submitTask(request, caller, signal) {
      await enter("submitTask", caller, signal);
      return accept(request.queue, request.type);
    },
    async submitTasks({ requests }, caller, signal) {
      await enter("submitTasks", caller, signal);
      return requests.map(({ queue, type }) => accept(queue, type));
    },
    async getStatus({ taskId }, caller, signal) {
      await enter("getStatus", caller, signal);
      return find(taskId);
    },
    async batchGetStatus({ taskIds }, caller, signal) {
      await enter("batchGetStatus", caller, signal);
      return taskIds.map((taskId) => tasks.get(taskId) ?? taskNotFound(taskId));
    },
    async waitTask({ taskId }, caller, signal) {
      await enter("waitTask", caller, signal);
      return find(taskId);
    },
    async listTasks(_request, caller, signal) {
      await enter("listTasks", caller, signal);
      return { statuses: [...tasks.values()], nextPageToken: "next", revision: tasks.size };
    },
    async cancelTask({ taskId }, caller, signal) {
      await enter("cancelTask", caller, signal);
      const state = hasEnded(find(taskId)) ? find(taskId).state : TaskState.CANCELLED;
      self.put(snapshotFrom({ taskId, state }, find(taskId).revision + 1));
      return find(taskId);
    },
    async watchStatus({ taskIds }, caller, signal) {
      await enter("watchStatus", caller, signal);
      const watch = createScriptedWatch(taskIds);
      watches.push(watch);
      return watch;
    },
  };
  return self;
}

function createScriptedWatch(taskIds: readonly string[]): ScriptedWatch {
  const due: WatchEvent[] = [];
  let end: "ok" | TaskError | undefined;
  let closed = false;
  const watch: ScriptedWatch = {
    taskIds,
    onReady: undefined,
    take: () => due.shift(),
    get end() {
      return due.length === 0 ? end : undefined;
    },
    get closed() {
      return closed;
    },
    get due() {
      return due.length;
    },
    push(...events) {
      due.push(...events);
      watch.onReady?.();
    },
    finish(how) {
      end = how;
      watch.onReady?.();
    },
    close() {
      closed = true;
    },
  };
  return watch;
}

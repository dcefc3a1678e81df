/** What the observer and the log are told. Each thing once, by the worker that recorded it. */
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";

import { TaskState } from "../../gen/taskwatch/v1/task_pb.ts";
import { type Task, taskIdOf } from "../../task/task.ts";
import type { TaskEnd } from "../worker-observer.ts";
import type { WorkerRuntime } from "../worker-runtime.ts";
import type { OpenedJob } from "./opened-job.ts";

type Reporting = Pick<WorkerRuntime, "queue" | "observer" | "logger">;

/** A waiting task was claimed. */
export function reportClaimed({ queue, observer }: Reporting, { fixed }: OpenedJob, from: Task): void {
  if (observer === undefined) return;
  const isRetry = from.head.state === TaskState.RETRYING;
  const runnableMs = isRetry ? Number(from.head.retryMs) : Math.max(msOf(fixed.createTime), msOf(fixed.scheduleTime));
  observer.attemptStarted({ queue, type: fixed.type, waitSeconds: Math.max(0, Date.now() - runnableMs) / 1_000 });
}

/** An attempt whose lease had run out was closed. */
export function reportLostAttempt({ queue, observer, logger }: Reporting, { fixed }: OpenedJob, task: Task): void {
  observer?.attemptEnded({ queue, type: fixed.type, outcome: "lost" });
  const lost = task.mutable.attempts.findLast(({ outcome }) => outcome !== 0);
  logger?.info("attempt lost", {
    taskId: taskIdOf(task),
    type: fixed.type,
    attempt: lost?.number,
    worker: lost?.worker,
  });
}

/** Our attempt ended, `runSeconds` after it was claimed; its task with it, unless it is run again. */
export function reportAttempt(
  reporting: Reporting,
  opened: OpenedJob,
  ended: { readonly task: Task; readonly runSeconds: number },
): void {
  const { queue, observer, logger } = reporting;
  const { task, runSeconds } = ended;
  const { type } = opened.fixed;
  const outcome = endOf(task.head.state);
  observer?.attemptEnded({ queue, type, outcome: outcome ?? "failed", runSeconds });
  if (outcome === undefined) observer?.taskRetried({ queue, type, code: task.mutable.error?.code ?? "" });
  else reportTask(reporting, opened, task);
  if (logger === undefined) return;
  const fields = { taskId: taskIdOf(task), type, attempt: task.head.attempt, outcome: outcome ?? "retrying" };
  if (outcome === "succeeded") logger.debug("attempt ended", { ...fields, runSeconds });
  else logger.info("attempt ended", { ...fields, runSeconds, code: task.mutable.error?.code });
}

/** A task has ended. */
export function reportTask({ queue, observer }: Reporting, { fixed, isReadable }: OpenedJob, task: Task): void {
  const outcome = endOf(task.head.state);
  if (outcome === undefined || observer === undefined) return;
  const totalSeconds = Math.max(0, Date.now() - msOf(fixed.createTime)) / 1_000;
  observer.taskCompleted({ queue, type: fixed.type, outcome, totalSeconds });
  if (outcome === "failed" && isReadable) observer.taskDeadLettered({ queue, type: fixed.type });
}

/** How a task in this state has ended; undefined if it has not. */
function endOf(state: TaskState): TaskEnd | undefined {
  switch (state) {
    case TaskState.SUCCEEDED:
      return "succeeded";
    case TaskState.FAILED:
      return "failed";
    case TaskState.CANCELLED:
      return "cancelled";
    case TaskState.EXPIRED:
      return "expired";
    default:
      return undefined;
  }
}

function msOf(time: Timestamp | undefined): number {
  return time === undefined ? 0 : timestampMs(time);
}

import type { BatchGetStatusRequest, GetStatusRequest } from "../gen/taskwatch/v1/task_service_pb.ts";
import { TaskError, taskNotFound } from "../task/errors.ts";
import { taskKeyFromId } from "../task/task-id.ts";
import type { StatusSnapshot } from "../task/task.ts";
import type { StatusReader } from "../view/read-status.ts";
import type { Caller } from "./operations.ts";

/** Reads one status. */
export async function getStatus(
  reader: StatusReader,
  request: GetStatusRequest,
  { caller, signal }: { readonly caller: Caller; readonly signal: AbortSignal },
): Promise<StatusSnapshot> {
  const key = taskKeyFromId(caller.namespace, request.taskId);
  if (key === undefined) throw taskNotFound(request.taskId);
  return reader.readStatus(key, { minRevision: Number(request.minRevision), signal });
}

/** How much of statuses one answer holds, in bytes; what does not fit is to be asked for again. */
const maxAnswerBytes = 768 * 1_024;

/** Reads many statuses, each by itself. */
export async function batchGetStatus(
  reader: StatusReader,
  { taskIds }: BatchGetStatusRequest,
  { caller, signal }: { readonly caller: Caller; readonly signal: AbortSignal },
): Promise<(StatusSnapshot | TaskError)[]> {
  const keys = taskIds.map((taskId) => taskKeyFromId(caller.namespace, taskId));
  const found = (
    await reader.readMany(
      keys.filter((key) => key !== undefined),
      signal,
    )
  ).values();
  const results = taskIds.map((taskId, index) =>
    keys[index] === undefined ? taskNotFound(taskId) : (found.next().value ?? taskNotFound(taskId)),
  );
  let leftBytes = maxAnswerBytes;
  return results.map((result, index) => {
    if (result instanceof TaskError) return result;
    leftBytes -= result.bytes.length;
    // The first always fits: no status is as large as an answer.
    return leftBytes >= 0 || index === 0 ? result : tooLarge(taskIds[index] ?? "");
  });
}

function tooLarge(taskId: string): TaskError {
  return new TaskError("RESPONSE_TOO_LARGE", "the answer is full: ask for this task again", {
    metadata: { task_id: taskId },
  });
}

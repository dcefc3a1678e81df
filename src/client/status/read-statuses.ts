import { create } from "@bufbuild/protobuf";

import {
  BatchGetStatusRequestSchema,
  type BatchGetStatusResult,
  GetStatusRequestSchema,
  TaskService,
} from "../../gen/taskwatch/v1/task_service_pb.ts";
import type { Caller } from "../call.ts";
import { errorFromItem } from "../grpc/error-details.ts";
import { TaskwatchError } from "../taskwatch-error.ts";
import { statusFromMessage } from "./status-from-message.ts";
import type { TaskStatus } from "./task-status.ts";

/** What was read of one task: its status, or why there is none. */
export type ReadResult =
  | { readonly taskId: string; readonly status: TaskStatus; readonly error?: undefined }
  | { readonly taskId: string; readonly status?: undefined; readonly error: TaskwatchError };

/** What the service takes at once. */
const maxIdsPerCall = 1_000;

/** Reads one status. */
export async function readStatus(
  caller: Caller,
  taskId: string,
  {
    minRevision = 0,
    signal,
  }: { readonly minRevision?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<TaskStatus> {
  const request = create(GetStatusRequestSchema, { taskId, minRevision: BigInt(minRevision) });
  const { status } = await caller.call(TaskService.method.getStatus, request, { signal });
  if (status === undefined) throw new TaskwatchError("INTERNAL", "service answered without a status");
  return statusFromMessage(status);
}

/** Reads many statuses, each result by itself and in the order of the ids. */
export async function readStatuses(
  caller: Caller,
  taskIds: readonly string[],
  signal?: AbortSignal,
): Promise<ReadResult[]> {
  const results: ReadResult[] = [];
  for (let start = 0; start < taskIds.length;) {
    const ids = taskIds.slice(start, start + maxIdsPerCall);
    const request = create(BatchGetStatusRequestSchema, { taskIds: ids });
    const answer = await caller.call(TaskService.method.batchGetStatus, request, { signal });
    const page = ids.map((taskId, index) => resultOf(taskId, answer.results[index]));
    // An answer that is full leaves out the rest, which is asked for again; the first is never left out.
    const full = page.findIndex(({ error }, index) => index > 0 && error?.reason === "RESPONSE_TOO_LARGE");
    const taken = full === -1 ? page : page.slice(0, full);
    results.push(...taken);
    start += taken.length;
  }
  return results;
}

function resultOf(taskId: string, result: BatchGetStatusResult | undefined): ReadResult {
  if (result?.result.case === "status") return { taskId, status: statusFromMessage(result.result.value) };
  if (result?.result.case === "error") return { taskId, error: errorFromItem(result.result.value) };
  return { taskId, error: new TaskwatchError("INTERNAL", "service answered without a result for the task") };
}

import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";

import { ListTasksRequestSchema, TaskService } from "../../gen/taskwatch/v1/task_service_pb.ts";
import type { Caller } from "../call.ts";
import type { TaskSelector } from "../watch/watch-event.ts";
import { selectorToMessage } from "../watch/watch-request.ts";
import { statusFromMessage } from "./status-from-message.ts";
import type { TaskStatus } from "./task-status.ts";

/** Which tasks to list. */
export interface TaskQuery extends TaskSelector {
  /** Created at or after this time. */
  readonly createdAfter?: Date | undefined;
  /** Created before this time. */
  readonly createdBefore?: Date | undefined;
  /** How many are fetched at once, 1 to 1,000. Default 100. */
  readonly pageSize?: number | undefined;
  /** Leave the results of tasks out, which makes the answers smaller. */
  readonly omitResults?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const defaultPageSize = 100;

/** The tasks that match, newest first; a page is fetched when the one before is used up. */
export async function* listTasks(caller: Caller, query: TaskQuery): AsyncGenerator<TaskStatus, undefined> {
  const { createdAfter, createdBefore, pageSize = defaultPageSize, omitResults = false, signal } = query;
  const request = create(ListTasksRequestSchema, { selector: selectorToMessage(query), pageSize, omitResults });
  if (createdAfter !== undefined) request.createdAfter = timestampFromDate(createdAfter);
  if (createdBefore !== undefined) request.createdBefore = timestampFromDate(createdBefore);
  do {
    const page = await caller.call(TaskService.method.listTasks, request, { signal });
    for (const status of page.statuses) yield statusFromMessage(status);
    request.pageToken = page.nextPageToken;
  } while (request.pageToken !== "");
  return undefined;
}

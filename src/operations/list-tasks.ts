import type { Timestamp } from "@bufbuild/protobuf/wkt";

import type { ListTasksRequest } from "../gen/taskwatch/v1/task_service_pb.ts";
import { TaskError } from "../task/errors.ts";
import { labelText, withoutResult } from "../view/status-fields.ts";
import type { TaskFilter } from "../view/task-query.ts";
import type { View } from "../view/view.ts";
import type { Caller, TaskPage } from "./operations.ts";
import { readPageToken, writePageToken } from "./page-token.ts";

/** What listing needs. */
export interface ListPorts {
  readonly view: Pick<View, "ready" | "query" | "appliedRevision">;
}

const defaultPageSize = 50;
const maxPageSize = 1_000;
/** Leaves room in a message of 1 MiB for what is around the statuses. */
const maxPageBytes = 768 * 1024;

/**
 * One page of the tasks of the caller's namespace, newest first. It may be short, or empty, and still name another page:
 * when it is full by its bytes, or has looked at as much as one page may.
 *
 * Throws PAGE_TOKEN_INVALID, and NOT_READY until the view has read the store.
 */
export function listTasks(
  { view }: ListPorts,
  request: ListTasksRequest,
  { caller }: { readonly caller: Caller },
): TaskPage {
  const filter = filterFromRequest(request, caller.namespace);
  const after = request.pageToken === "" ? undefined : readPageToken(request.pageToken, filter);
  if (!view.ready) throw new TaskError("NOT_READY", "the service is reading the store", { retryDelayMs: 1_000 });
  const { statuses, next } = view.query({
    filter,
    after,
    limit: request.pageSize === 0 ? defaultPageSize : Math.min(request.pageSize, maxPageSize),
    maxBytes: maxPageBytes,
    trim: request.omitResults ? withoutResult : undefined,
  });
  const nextPageToken = next === undefined ? "" : writePageToken(next, filter);
  return { statuses, nextPageToken, revision: view.appliedRevision };
}

function filterFromRequest(request: ListTasksRequest, namespace: string): TaskFilter {
  const { selector, createdAfter, createdBefore } = request;
  return {
    namespace,
    queues: selector?.queues ?? [],
    types: selector?.types ?? [],
    states: selector?.states ?? [],
    labels: Object.entries(selector?.labels ?? {}).map(([key, value]) => labelText(key, value)),
    fromMs: createdAfter && msFromTimestamp(createdAfter),
    beforeMs: createdBefore && msFromTimestamp(createdBefore),
  };
}

/** Tasks are created at whole milliseconds: the next one is as good a bound as what lies between two. */
function msFromTimestamp({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1_000 + Math.ceil(nanos / 1e6);
}

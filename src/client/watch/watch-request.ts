import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import { TaskState as StateNumber } from "../../gen/taskwatch/v1/task_pb.ts";
import {
  type TaskSelector as TaskSelectorMessage,
  TaskSelectorSchema,
  type WatchStatusRequest,
  WatchStatusRequestSchema,
} from "../../gen/taskwatch/v1/task_service_pb.ts";
import type { TaskSelector, WatchTarget } from "./watch-event.ts";

/** The request for a watch, without a token. */
export function requestFromTarget(target: WatchTarget, minIntervalMs: number | undefined): WatchStatusRequest {
  const request = create(WatchStatusRequestSchema);
  if (typeof target === "string") request.taskIds = [target];
  else if (isList(target)) request.taskIds = [...new Set(target)];
  else request.selector = selectorToMessage(target);
  if (minIntervalMs !== undefined) request.minInterval = durationFromMs(minIntervalMs);
  return request;
}

/** The message of a selector. */
export function selectorToMessage({ queues, types, states, labels }: TaskSelector): TaskSelectorMessage {
  return create(TaskSelectorSchema, {
    queues: [...(queues ?? [])],
    types: [...(types ?? [])],
    states: (states ?? []).map((state) => StateNumber[state]),
    labels: { ...labels },
  });
}

function isList(target: WatchTarget): target is readonly string[] {
  return Array.isArray(target);
}

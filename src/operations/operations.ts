/**
 * What a caller can ask for, whatever the transport. Each operation gets a request whose fields have passed the schema's
 * rules and a caller who may make it; it throws only `TaskError`.
 */
import type {
  BatchGetStatusRequest,
  CancelTaskRequest,
  GetStatusRequest,
  ListTasksRequest,
  RemovedEvent_Reason,
  GoingAwayEvent_Reason,
  SubmitTaskRequest,
  SubmitTasksRequest,
  WaitTaskRequest,
  WatchStatusRequest,
} from "../gen/taskwatch/v1/task_service_pb.ts";
import type { TaskError } from "../task/errors.ts";
import type { StatusSnapshot } from "../task/task.ts";

/** Who calls: comes from the credential, never from the request. */
export interface Caller {
  /** The principal's name, as kept in cancellations. */
  readonly name: string;
  /** Whose tasks it sees. */
  readonly namespace: string;
  /** The W3C trace context that came with the call. */
  readonly traceparent?: string | undefined;
}

/** An accepted task. */
export interface Submitted {
  readonly status: StatusSnapshot;
  readonly resumeToken: string;
  /** Whether the task was there already. */
  readonly duplicate: boolean;
}

/** One page of a list. */
export interface TaskPage {
  readonly statuses: readonly StatusSnapshot[];
  /** Empty when there is no further page. */
  readonly nextPageToken: string;
  /** The revision of the store at which the page is true. */
  readonly revision: number;
}

/** What a watcher is sent. */
export type WatchEvent =
  | {
      readonly kind: "status";
      readonly status: StatusSnapshot;
      /** Whether this is what was found when the watch began. */
      readonly snapshot: boolean;
      /** How many changes were left out since the last status of the task. */
      readonly merged: number;
      readonly resumeToken: string;
    }
  | { readonly kind: "bookmark"; readonly revision: number; readonly resumeToken: string }
  | {
      readonly kind: "removed";
      readonly taskId: string;
      readonly reason: RemovedEvent_Reason;
      readonly resumeToken: string;
    }
  | {
      readonly kind: "going_away";
      readonly reason: GoingAwayEvent_Reason;
      readonly resumeDelayMs: number;
      readonly resumeToken: string;
    };

/**
 * An open watch. It is pulled: what is due is kept as the latest status of each task until it is taken, so a slow reader
 * costs no more memory than one status a task.
 */
export interface Watch {
  /** The next event, if one is due. */
  take(): WatchEvent | undefined;
  /**
   * How the watch ended, once everything due was taken: "ok" after the last terminal status, a removal of the last task or a
   * going-away; an error otherwise. Undefined while it is open.
   */
  readonly end: "ok" | TaskError | undefined;
  /** Called whenever `take` or `end` may have something new after they had nothing. Set by the transport, once. */
  onReady: (() => void) | undefined;
  /** Releases everything. Idempotent; a transport calls it as soon as the client is gone. */
  close(): void;
}

/** The operations on tasks. */
export interface TaskOperations {
  submitTask(request: SubmitTaskRequest, caller: Caller, signal: AbortSignal): Promise<Submitted>;
  /** One result for each request, in order. */
  submitTasks(request: SubmitTasksRequest, caller: Caller, signal: AbortSignal): Promise<(Submitted | TaskError)[]>;
  getStatus(request: GetStatusRequest, caller: Caller, signal: AbortSignal): Promise<StatusSnapshot>;
  /** One result for each id, in order. */
  batchGetStatus(
    request: BatchGetStatusRequest,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<(StatusSnapshot | TaskError)[]>;
  watchStatus(request: WatchStatusRequest, caller: Caller, signal: AbortSignal): Promise<Watch>;
  waitTask(request: WaitTaskRequest, caller: Caller, signal: AbortSignal): Promise<StatusSnapshot>;
  listTasks(request: ListTasksRequest, caller: Caller, signal: AbortSignal): Promise<TaskPage>;
  cancelTask(request: CancelTaskRequest, caller: Caller, signal: AbortSignal): Promise<StatusSnapshot>;
}

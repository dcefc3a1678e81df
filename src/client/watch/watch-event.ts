import type { RemovalReason, TaskState, TaskStatus } from "../status/task-status.ts";
import type { TaskwatchError } from "../taskwatch-error.ts";

/** Picks tasks by what they are. Conditions are joined by AND, values within one by OR; what is left out matches all. */
export interface TaskSelector {
  readonly queues?: readonly string[] | undefined;
  readonly types?: readonly string[] | undefined;
  readonly states?: readonly TaskState[] | undefined;
  /** All of these labels, with exactly these values. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** What is watched: a task, up to 1,000 tasks, or all tasks that match. */
export type WatchTarget = string | readonly string[] | TaskSelector;

/** What a watch tells. Each event but `reset` carries the token with which another watch continues after it. */
export type WatchEvent =
  | {
      readonly kind: "status";
      /** The whole status, never a difference. */
      readonly status: TaskStatus;
      /** Whether this is what was found when the watch began, rather than a change. */
      readonly snapshot: boolean;
      /** How many changes since the last status of the task were left out, because there was no time to send them. */
      readonly merged: number;
      readonly resumeToken: string;
    }
  | {
      /** The status is gone, and nothing more will come of the task. */
      readonly kind: "removed";
      readonly taskId: string;
      readonly reason: RemovalReason;
      readonly resumeToken: string;
    }
  | {
      /** Everything up to `revision` was sent. Only if asked for. */
      readonly kind: "bookmark";
      readonly revision: number;
      readonly resumeToken: string;
    }
  | {
      /**
       * The watch could not be continued where it was, because the store was replaced or too much time had passed. Forget
       * what it told so far: fresh snapshots follow.
       */
      readonly kind: "reset";
      readonly error: TaskwatchError;
    };

/** What interrupted a watch that goes on by itself. */
export interface Interruption {
  /** Why. Undefined when the server announced it, or ended the stream without a word. */
  readonly error: TaskwatchError | undefined;
  /** How many times in a row it was interrupted; 0 when the server announced it. */
  readonly failures: number;
  /** How long until the next attempt. */
  readonly delayMs: number;
}

/** How to watch. */
export interface WatchOptions {
  /** Continue after the event that carried this token. Only with the same target. */
  readonly resumeToken?: string | undefined;
  /** At most one progress change of a task in this time; states and the end are never held back. */
  readonly minIntervalMs?: number | undefined;
  /** Also tell bookmarks. Default false. */
  readonly bookmarks?: boolean | undefined;
  /** Ends the watch at once: the iterator throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** How long nothing at all may be heard of the service before the watch fails with the last error. Default 15 min. */
  readonly giveUpAfterMs?: number | undefined;
  /** Told of each interruption. Must not throw. */
  readonly onInterrupted?: ((interruption: Interruption) => void) | undefined;
}

/**
 * The events of a watch, in order. Nothing is sent before the first `next`; `break`, `return` and the end of an
 * `await using` release the stream.
 */
export interface Watch extends AsyncIterableIterator<WatchEvent, undefined>, AsyncDisposable {
  return(): Promise<IteratorResult<WatchEvent, undefined>>;
  [Symbol.asyncIterator](): Watch;
}

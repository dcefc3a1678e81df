/** Which tasks an event is about. */
export interface ObservedTask {
  readonly queue: string;
  readonly type: string;
}

/** Is told what becomes of tasks: each thing once, after it was recorded, by the worker that recorded it. */
export interface WorkerObserver {
  /** The worker is about to serve these types. */
  typesServed(event: { readonly queue: string; readonly types: readonly string[] }): void;
  /** A waiting task was claimed, `waitSeconds` after it became runnable. Not told of takeovers. */
  attemptStarted(event: ObservedTask & { readonly waitSeconds: number }): void;
  /** An attempt ended. Without `runSeconds` if it was lost. */
  attemptEnded(event: ObservedTask & { readonly outcome: AttemptEnd; readonly runSeconds?: number }): void;
  /** A failed attempt is going to be repeated. */
  taskRetried(event: ObservedTask & { readonly code: string }): void;
  /** A task has ended, `totalSeconds` after it was accepted. */
  taskCompleted(event: ObservedTask & { readonly outcome: TaskEnd; readonly totalSeconds?: number }): void;
  /** The job of a failed task was put aside. */
  taskDeadLettered(event: ObservedTask): void;
  /** An attempt lost its lease. */
  leaseLost(event: { readonly queue: string }): void;
  /** A write was refused because the task is another attempt's. */
  writeFenced(event: { readonly queue: string }): void;
  /** A write found the record moved, for whatever reason. */
  recordConflict(writer: "claim" | "takeover" | "attempt"): void;
}

/** How a task may end. */
export type TaskEnd = "succeeded" | "failed" | "cancelled" | "expired";
/** How an attempt may end. */
export type AttemptEnd = TaskEnd | "lost";

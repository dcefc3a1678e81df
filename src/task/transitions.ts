/**
 * The state machine of a task. This table is the whole of it: no draft of a record can be made of any other step.
 *
 * A fresh task has no record. It is QUEUED while its job is on the stream, or SCHEDULED while its delayed message is, and
 * only the first write that takes it out of there makes the record. Terminal states lead nowhere: running a task again
 * makes a new one.
 */
import { TaskState } from "../gen/taskwatch/v1/task_pb.ts";

/**
 * Who writes a record.
 *
 * - `api`: an API process, for a caller;
 * - `claim`: a worker that was delivered the job of a waiting task;
 * - `attempt`: the attempt that holds the task, known by its token;
 * - `takeover`: a worker that was delivered the job of an attempt whose lease has run out;
 * - `sweeper`: whoever tidies up what no worker is left to tidy.
 */
export type Writer = "api" | "claim" | "attempt" | "takeover" | "sweeper";

/** One legal step. */
export interface Transition {
  readonly from: TaskState;
  readonly to: TaskState;
  readonly writers: readonly Writer[];
}

const { SCHEDULED, QUEUED, RUNNING, RETRYING, CANCELLING, SUCCEEDED, FAILED, CANCELLED, EXPIRED } = TaskState;

/** Every legal step and who may take it. */
export const transitions: readonly Transition[] = [
  { from: QUEUED, to: RUNNING, writers: ["claim"] },
  { from: RETRYING, to: RUNNING, writers: ["claim"] },

  // Progress and heartbeats; a takeover closes the old attempt as LOST and starts the next.
  { from: RUNNING, to: RUNNING, writers: ["attempt", "takeover"] },
  { from: CANCELLING, to: CANCELLING, writers: ["attempt"] },

  { from: RUNNING, to: SUCCEEDED, writers: ["attempt"] },
  { from: RUNNING, to: RETRYING, writers: ["attempt"] },
  // By a takeover when no attempt is left (CRASH_LOOP), by the sweeper when no message is left (LOST).
  { from: RUNNING, to: FAILED, writers: ["attempt", "takeover", "sweeper"] },
  { from: RUNNING, to: EXPIRED, writers: ["attempt", "takeover"] },
  // A handler that cancels its own task.
  { from: RUNNING, to: CANCELLED, writers: ["attempt"] },
  { from: RUNNING, to: CANCELLING, writers: ["api"] },

  { from: CANCELLING, to: CANCELLED, writers: ["attempt", "takeover"] },
  // The attempt ended before it saw the request: the truth wins, and the request stays visible.
  { from: CANCELLING, to: SUCCEEDED, writers: ["attempt"] },
  { from: CANCELLING, to: FAILED, writers: ["attempt", "sweeper"] },

  { from: SCHEDULED, to: CANCELLED, writers: ["api"] },
  { from: QUEUED, to: CANCELLED, writers: ["api"] },
  { from: RETRYING, to: CANCELLED, writers: ["api"] },
  { from: SCHEDULED, to: EXPIRED, writers: ["api", "sweeper"] },
  { from: QUEUED, to: EXPIRED, writers: ["api", "claim", "sweeper"] },
  { from: RETRYING, to: EXPIRED, writers: ["api", "claim", "sweeper"] },
  { from: RETRYING, to: FAILED, writers: ["sweeper"] },
];

const terminal: ReadonlySet<TaskState> = new Set([SUCCEEDED, FAILED, CANCELLED, EXPIRED]);

const legal = new Set(
  transitions.flatMap(({ from, to, writers }) => writers.map((writer) => `${from} ${to} ${writer}`)),
);

/** Whether a state is final. */
export function isTerminal(state: TaskState): boolean {
  return terminal.has(state);
}

/** Throws if the table does not allow the step. Reaching that is a defect of the caller, never of a request. */
export function assertTransition(from: TaskState, to: TaskState, writer: Writer): void {
  if (!legal.has(`${from} ${to} ${writer}`)) {
    throw new Error(`task state ${stateName(from)} must not become ${stateName(to)} by ${writer}`);
  }
}

const names = new Map(Object.entries(TaskState).map(([name, value]) => [value as TaskState, name]));

/** The name of a state, such as "RUNNING"; its number, if a newer writer made it. */
export function stateName(state: TaskState): string {
  return names.get(state) ?? String(state);
}

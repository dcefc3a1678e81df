import type { BoundedLabel } from "./bounded-label.ts";
import { catalogue } from "./catalogue.ts";
import { duration, type Instruments } from "./instruments.ts";
import {
  attemptOutcomes,
  boundedPairLimit,
  overflowLabel,
  retryReasons,
  submitResults,
  taskOutcomes,
} from "./label-values.ts";

/** Which tasks a figure is about. */
export interface TaskLabels {
  readonly queue: string;
  readonly type: string;
}

/** What became of a submitted task. */
export type SubmitResult = (typeof submitResults)[number];
/** How a task ended. */
export type TaskOutcome = (typeof taskOutcomes)[number];
/** How an attempt ended. */
export type AttemptOutcome = (typeof attemptOutcomes)[number];

/** Counts what happens to tasks. Whoever recorded a thing counts it, after the record is written and once. */
export interface TaskMetrics {
  /** A task was submitted. Refused ones cannot make new labels, so names made up by a caller count as `other`. */
  taskSubmitted(event: TaskLabels & { readonly result: SubmitResult }): void;
  /** A task was claimed, `waitSeconds` after it became runnable. */
  attemptStarted(event: TaskLabels & { readonly waitSeconds: number }): void;
  /** An attempt ended. Without `runSeconds` (a lost one, say) it is counted and not measured. */
  attemptEnded(event: TaskLabels & { readonly outcome: AttemptOutcome; readonly runSeconds?: number }): void;
  /** A failed attempt is going to be repeated, because of the error with this code. */
  taskRetried(event: TaskLabels & { readonly code: string }): void;
  /** A task reached its terminal state, `totalSeconds` after it was accepted. */
  taskCompleted(event: TaskLabels & { readonly outcome: TaskOutcome; readonly totalSeconds?: number }): void;
  /** The job of a failed task was put aside. */
  taskDeadLettered(event: TaskLabels): void;
  /** A worker is about to serve these types: shows their series at 0, so that the first task of each is not missed. */
  typesServed(event: { readonly queue: string; readonly types: readonly string[] }): void;
  /** A worker lost the lease of an attempt. */
  leaseLost(event: { readonly queue: string }): void;
  /** A write of a worker was refused, because the task was no longer its own. */
  writeFenced(event: { readonly queue: string }): void;
}

/** Makes the task metrics. `queues` is shared with the gauges, so that all of them name the same queues. */
export function createTaskMetrics(instruments: Instruments, queues: BoundedLabel): TaskMetrics {
  const submitted = instruments.counter(catalogue.tasksSubmitted);
  const completed = instruments.counter(catalogue.tasksCompleted);
  const attempts = instruments.counter(catalogue.taskAttempts);
  const retries = instruments.counter(catalogue.taskRetries);
  const deadLettered = instruments.counter(catalogue.tasksDeadLettered);
  const wait = instruments.histogram(catalogue.taskQueueWait);
  const run = instruments.histogram(catalogue.taskRun);
  const total = instruments.histogram(catalogue.taskTotal);
  const leasesLost = instruments.counter(catalogue.leasesLost);
  const fencedWrites = instruments.counter(catalogue.fencedWrites);
  const showAtZero = (pair: TaskLabels): void => {
    for (const result of submitResults) submitted.inc({ ...pair, result }, 0);
    for (const outcome of taskOutcomes) completed.inc({ ...pair, outcome }, 0);
    for (const outcome of attemptOutcomes) attempts.inc({ ...pair, outcome }, 0);
    for (const reason of retryReasons) retries.inc({ ...pair, reason }, 0);
    deadLettered.inc(pair, 0);
    wait.zero(pair);
    run.zero({ ...pair, outcome: "succeeded" });
    total.zero(pair);
  };
  const pairs = createBoundedPairs(queues, showAtZero);
  return {
    taskSubmitted(event) {
      const { result } = event;
      submitted.inc({ ...(result === "rejected" ? pairs.known(event) : pairs.admit(event)), result });
    },
    attemptStarted: (event) => wait.observe(pairs.admit(event), duration(event.waitSeconds)),
    attemptEnded(event) {
      const labels = { ...pairs.admit(event), outcome: event.outcome };
      attempts.inc(labels);
      if (event.runSeconds !== undefined) run.observe(labels, duration(event.runSeconds));
    },
    taskRetried: (event) => retries.inc({ ...pairs.admit(event), reason: retryReason(event.code) }),
    taskCompleted(event) {
      const pair = pairs.admit(event);
      completed.inc({ ...pair, outcome: event.outcome });
      if (event.totalSeconds !== undefined) total.observe(pair, duration(event.totalSeconds));
    },
    taskDeadLettered: (event) => deadLettered.inc(pairs.admit(event)),
    typesServed({ queue, types }) {
      for (const counter of [leasesLost, fencedWrites]) counter.inc({ queue: queues.admit(queue) }, 0);
      for (const type of types) pairs.admit({ queue, type });
    },
    leaseLost: ({ queue }) => leasesLost.inc({ queue: queues.admit(queue) }),
    writeFenced: ({ queue }) => fencedWrites.inc({ queue: queues.admit(queue) }),
  };
}

/** Tells the first pairs of queue and type apart, as `BoundedLabel` does values; the type of any other is `other`. */
interface BoundedPairs {
  admit(pair: TaskLabels): TaskLabels;
  known(pair: TaskLabels): TaskLabels;
}

/** Without a limit for types alone: no more of them are told apart than pairs. `onNew` is called once for each pair. */
function createBoundedPairs(queues: BoundedLabel, onNew: (pair: TaskLabels) => void): BoundedPairs {
  const pairs = new Set<string>();
  const keyOf = ({ queue, type }: TaskLabels): string => `${queue}/${type}`;
  return {
    admit({ queue, type }) {
      const pair = { queue: queues.admit(queue), type };
      if (pairs.has(keyOf(pair))) return pair;
      if (pairs.size >= boundedPairLimit) return { ...pair, type: overflowLabel };
      pairs.add(keyOf(pair));
      onNew(pair);
      return pair;
    },
    known({ queue, type }) {
      const pair = { queue: queues.known(queue), type };
      return pairs.has(keyOf(pair)) ? pair : { ...pair, type: overflowLabel };
    },
  };
}

const reasonsByCode = new Map<string, (typeof retryReasons)[number]>(
  retryReasons.map((reason) => [reason.toUpperCase(), reason]),
);

/** Codes are free to handlers; only the service's own are told apart. */
function retryReason(code: string): (typeof retryReasons)[number] {
  return reasonsByCode.get(code) ?? "handler_error";
}

import { type BoundedLabel, createBoundedLabel } from "./bounded-label.ts";
import { catalogue } from "./catalogue.ts";
import { closedCells, type Instruments, lazyCell, lazyClosedCells } from "./instruments.ts";
import {
  attemptOutcomes,
  boundedLabelLimit,
  boundedPairLimit,
  overflowLabel,
  retryReasons,
  submitResults,
  taskOutcomes,
} from "./label-values.ts";
import type { CounterCell, Tally } from "./tally.ts";

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
  const cellsOf = createCellsByTask(instruments, queues);
  const lost = createCellsByQueue(instruments.counter(catalogue.leasesLost), queues);
  const fenced = createCellsByQueue(instruments.counter(catalogue.fencedWrites), queues);
  return {
    taskSubmitted(event) {
      const cells = event.result === "rejected" ? cellsOf.known(event) : cellsOf.admit(event);
      cells.submitted(event.result).value += 1;
    },
    attemptStarted: (event) => cellsOf.admit(event).wait().observe(event.waitSeconds),
    attemptEnded(event) {
      const cells = cellsOf.admit(event);
      cells.attempts(event.outcome).value += 1;
      if (event.runSeconds !== undefined) cells.run(event.outcome).observe(event.runSeconds);
    },
    taskRetried(event) {
      cellsOf.admit(event).retries(retryReason(event.code)).value += 1;
    },
    taskCompleted(event) {
      const cells = cellsOf.admit(event);
      cells.completed(event.outcome).value += 1;
      if (event.totalSeconds !== undefined) cells.total().observe(event.totalSeconds);
    },
    taskDeadLettered(event) {
      cellsOf.admit(event).deadLettered.value += 1;
    },
    typesServed({ queue, types }) {
      lost(queue);
      fenced(queue);
      for (const type of types) {
        const cells = cellsOf.admit({ queue, type });
        cells.wait();
        cells.run("succeeded");
        cells.total();
      }
    },
    leaseLost({ queue }) {
      lost(queue).value += 1;
    },
    writeFenced({ queue }) {
      fenced(queue).value += 1;
    },
  };
}

type Cells = ReturnType<typeof createMakeCells> extends (labels: TaskLabels) => infer C ? C : never;

/** Finds the cells of a queue and type. The number of combinations is bounded, whatever it is asked for. */
function createCellsByTask(instruments: Instruments, queues: BoundedLabel) {
  const types = createBoundedLabel(boundedLabelLimit);
  const makeCells = createMakeCells(instruments);
  const byQueue = new Map<string, Map<string, Cells>>();
  let pairs = 0;
  const find = ({ queue, type }: TaskLabels): Cells | undefined => byQueue.get(queue)?.get(type);
  const findOrMake = (labels: TaskLabels): Cells => {
    const found = find(labels);
    if (found !== undefined) return found;
    const cells = makeCells(labels);
    const ofQueue = byQueue.get(labels.queue) ?? new Map<string, Cells>();
    byQueue.set(labels.queue, ofQueue.set(labels.type, cells));
    pairs += 1;
    return cells;
  };
  const admit = ({ queue, type }: TaskLabels): Cells => {
    const bounded = { queue: queues.admit(queue), type: types.admit(type) };
    const full = pairs >= boundedPairLimit && find(bounded) === undefined;
    return findOrMake(full ? { queue: bounded.queue, type: overflowLabel } : bounded);
  };
  return {
    admit: (labels: TaskLabels) => find(labels) ?? admit(labels),
    known: (labels: TaskLabels) =>
      find(labels) ?? findOrMake({ queue: queues.known(labels.queue), type: overflowLabel }),
  };
}

/** Makes the metrics, and a function that makes their cells for a queue and type. */
function createMakeCells(instruments: Instruments) {
  const submitted = instruments.counter(catalogue.tasksSubmitted);
  const completed = instruments.counter(catalogue.tasksCompleted);
  const attempts = instruments.counter(catalogue.taskAttempts);
  const retries = instruments.counter(catalogue.taskRetries);
  const deadLettered = instruments.counter(catalogue.tasksDeadLettered);
  const wait = instruments.histogram(catalogue.taskQueueWait);
  const run = instruments.histogram(catalogue.taskRun);
  const total = instruments.histogram(catalogue.taskTotal);
  return ({ queue, type }: TaskLabels) => ({
    submitted: closedCells(submitResults, (result) => submitted.cell({ queue, type, result })),
    completed: closedCells(taskOutcomes, (outcome) => completed.cell({ queue, type, outcome })),
    attempts: closedCells(attemptOutcomes, (outcome) => attempts.cell({ queue, type, outcome })),
    retries: closedCells(retryReasons, (reason) => retries.cell({ queue, type, reason })),
    deadLettered: deadLettered.cell({ queue, type }),
    wait: lazyCell(() => wait.cell({ queue, type })),
    run: lazyClosedCells(attemptOutcomes, (outcome) => run.cell({ queue, type, outcome })),
    total: lazyCell(() => total.cell({ queue, type })),
  });
}

function createCellsByQueue(tally: Tally<"queue", CounterCell>, queues: BoundedLabel) {
  const cells = new Map<string, CounterCell>();
  return (queue: string): CounterCell => {
    const label = queues.admit(queue);
    const found = cells.get(label);
    if (found !== undefined) return found;
    const cell = tally.cell({ queue: label });
    cells.set(label, cell);
    return cell;
  };
}

const reasonsByCode = new Map<string, (typeof retryReasons)[number]>(
  retryReasons.map((reason) => [reason.toUpperCase(), reason]),
);

/** Codes are free to handlers; only the service's own are told apart. */
function retryReason(code: string): (typeof retryReasons)[number] {
  return reasonsByCode.get(code) ?? "handler_error";
}

/**
 * Lists of tasks, newest first.
 *
 * A list is read from one or more runs of the index, each in order already, and merged: the tasks of one label, those of
 * each wanted queue and state, or all of a namespace. What the runs do not settle is tested row by row, and the number of
 * rows that a page may look at is bounded, so that no page holds up everything else: it is then short, or empty, and says
 * where to go on.
 */
import type { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import { taskIdFromKey, type TaskKey } from "../task/task-id.ts";
import type { StatusSnapshot } from "../task/task.ts";
import { type IndexStore, tieOf } from "./index-store.ts";
import type { Scope } from "./scopes.ts";
import { mergeRuns, prepareRuns, type Row, type Run, type RunSource } from "./task-runs.ts";

/** Which tasks. Empty lists match all. */
export interface TaskFilter {
  readonly namespace: string;
  readonly queues: readonly string[];
  readonly types: readonly string[];
  readonly states: readonly TaskState[];
  /** All of these, each as `labelText` writes it. */
  readonly labels: readonly string[];
  /** Created at this time or later, in ms since 1970. Unset: whenever. */
  readonly fromMs?: number | undefined;
  /** Created before this time. */
  readonly beforeMs?: number | undefined;
}

/** A place in a list: right after this task. */
export interface ListPosition {
  readonly createMs: number;
  readonly taskId: string;
}

/** What to list. */
export interface TaskQuery {
  readonly filter: TaskFilter;
  /** Go on after this task. Unset: from the newest. */
  readonly after?: ListPosition | undefined;
  /** How many tasks at most. */
  readonly limit: number;
  /** How many bytes of statuses at most; a single status may have more. */
  readonly maxBytes: number;
  /** What is put in place of each status. Default: the status itself. */
  readonly trim?: ((status: Uint8Array) => Uint8Array) | undefined;
}

/** A page of tasks. */
export interface TaskRows {
  readonly statuses: readonly StatusSnapshot[];
  /** Where the next page begins; undefined when there is none. */
  readonly next: ListPosition | undefined;
}

/** Answers one query: how things are now. Takes a few ms at most. */
export type QueryTasks = (query: TaskQuery) => TaskRows;

/** How many rows a page may look at: a few ms of work. */
const maxExamined = 3_000;
/** Merging more runs than these costs more than testing a run over everything. */
const maxRuns = 128;

/** Makes the queries of an index. Their statements are prepared once. */
export function createTaskQueries(index: IndexStore, { nowMs }: { readonly nowMs: () => number }): QueryTasks {
  const source = prepareRuns(index.database);
  const keyOf = ({ scope, suffix }: Row): TaskKey => {
    const { namespace, queue } = index.scopes.get(scope);
    return { namespace, queue, suffix };
  };
  return ({ filter, after, limit, maxBytes, trim }) => {
    const next = mergeRuns(chooseRuns(index, source, { filter, after, limit }));
    const matches = createRowTest(filter, index.scopes.of(filter.namespace), nowMs());
    const statuses: StatusSnapshot[] = [];
    let bytes = 0;
    let last: Row | undefined;
    const page = (isLast: boolean): TaskRows => ({
      statuses,
      next: isLast || last === undefined ? undefined : { createMs: last.createMs, taskId: taskIdFromKey(keyOf(last)) },
    });
    for (let examined = 0; ; examined += 1) {
      const row = next();
      if (row === undefined) return page(true);
      if (statuses.length === limit || examined === maxExamined) return page(false);
      if (matches(row)) {
        const { status, ...rest } = source.read(row.id);
        const trimmed = trim === undefined ? status : trim(status);
        bytes += trimmed.length;
        if (bytes > maxBytes && statuses.length > 0) return page(false);
        statuses.push({ key: keyOf(row), state: row.state, expireMs: row.expireMs, ...rest, bytes: trimmed });
      }
      last = row;
    }
  };
}

function chooseRuns(
  { scopes }: IndexStore,
  source: RunSource,
  { filter, after, limit }: Pick<TaskQuery, "filter" | "after" | "limit">,
): Run[] {
  const { namespace, labels, states, fromMs = 0, beforeMs = Number.MAX_SAFE_INTEGER } = filter;
  const wanted = [...scopes.of(namespace)].filter(({ queue }) => isWanted(filter.queues, queue));
  const [first] = wanted;
  if (first === undefined) return [];
  const from = after === undefined ? { createMs: beforeMs, tie: -1 } : { ...after, tie: tieOf(after.taskId) };
  const range = { fromMs, createMs: from.createMs, tie: from.tie };
  const [label] = labels;
  if (label !== undefined) return [source.ofLabel(first.space, label, { ...range, chunk: chunkFor(filter, limit, 1) })];

  const parts = wanted.flatMap((scope) =>
    [...scope.counts.keys()].filter((state) => isWanted(states, state)).map((state) => ({ scope, state })),
  );
  const narrows = filter.queues.length > 0 || states.length > 0;
  if (narrows && parts.length <= maxRuns) {
    const chunk = chunkFor(filter, limit, parts.length);
    return parts.map(({ scope, state }) => source.ofState(scope.id, state, { ...range, chunk }));
  }
  return [source.ofTime(first.space, { ...range, chunk: chunkFor(filter, limit, 1) })];
}

/** How many rows of a run to read at once: as many as the page is likely to take from it. */
function chunkFor({ types, labels }: TaskFilter, limit: number, runs: number): number {
  if (types.length > 0 || labels.length > 1) return Math.max(16, Math.ceil(512 / runs));
  return Math.min(256, Math.max(8, Math.ceil((limit + 1) / runs) + 4));
}

function createRowTest(filter: TaskFilter, scopes: Iterable<Scope>, nowMs: number): (row: Row) => boolean {
  const { queues, types, states, labels } = filter;
  const scopeIds = new Set([...scopes].filter(({ queue }) => isWanted(queues, queue)).map(({ id }) => id));
  return (row) =>
    (row.expireMs === 0 || row.expireMs > nowMs) &&
    scopeIds.has(row.scope) &&
    isWanted(states, row.state) &&
    isWanted(types, row.type) &&
    (labels.length === 0 || hasLabels(row, labels));
}

function hasLabels(row: Row, wanted: readonly string[]): boolean {
  if (row.labels === "") return false;
  const labels = JSON.parse(row.labels) as string[];
  return wanted.every((label) => labels.includes(label));
}

function isWanted<Value>(wanted: readonly Value[], value: Value): boolean {
  return wanted.length === 0 || wanted.includes(value);
}

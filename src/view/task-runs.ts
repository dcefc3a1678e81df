import type { DatabaseSync, StatementSync } from "node:sqlite";

import type { TaskState } from "../gen/taskwatch/v1/task_pb.ts";

/** What lists pick tasks by. */
export interface Row {
  readonly id: number;
  readonly scope: number;
  readonly suffix: string;
  readonly state: TaskState;
  readonly createMs: number;
  readonly tie: number;
  readonly expireMs: number;
  readonly type: string;
  /** A JSON list of texts, or empty. */
  readonly labels: string;
}

/** Where a run begins and ends. */
export interface RunRange {
  /** Only rows before this place: it is the time and tie of a row, or a time and -1. */
  readonly createMs: number;
  readonly tie: number;
  /** Only rows from this time on. */
  readonly fromMs: number;
  /** How many rows are read at once. */
  readonly chunk: number;
}

/** Gives the rows of a part of the index, newest first; undefined at the end. */
export type Run = () => Row | undefined;

/** Opens runs. They are to be read before anything changes. */
export interface RunSource {
  /** The tasks of a namespace. */
  ofTime(space: number, range: RunRange): Run;
  /** The tasks of a queue in one state. */
  ofState(scope: number, state: TaskState, range: RunRange): Run;
  /** The tasks of a namespace that carry a label. */
  ofLabel(space: number, label: string, range: RunRange): Run;
  /** The rest of a row. */
  read(id: number): { readonly revision: number; readonly change: number; readonly status: Uint8Array };
}

const columns = "t.id, t.scope, t.suffix, t.state, t.create_ms, t.tie, t.expire_ms, t.type, t.labels";

/** Prepares the statements that runs are read by. */
export function prepareRuns(database: DatabaseSync): RunSource {
  const prepare = (sql: string): StatementSync => {
    const statement = database.prepare(sql);
    statement.setReturnArrays(true);
    return statement;
  };
  const order = (table: string) =>
    `AND (${table}.create_ms, ${table}.tie) < (?, ?) AND ${table}.create_ms >= ?
     ORDER BY ${table}.create_ms DESC, ${table}.tie DESC LIMIT ?`;
  const byTime = prepare(`SELECT ${columns} FROM task t INDEXED BY task_by_time WHERE t.space = ? ${order("t")}`);
  const byState = prepare(
    `SELECT ${columns} FROM task t INDEXED BY task_by_state WHERE t.scope = ? AND t.state = ? ${order("t")}`,
  );
  const byLabel = prepare(
    `SELECT ${columns} FROM label l CROSS JOIN task t ON t.id = l.task WHERE l.space = ? AND l.label = ? ${order("l")}`,
  );
  const status = prepare("SELECT revision, change, status FROM task WHERE id = ?");
  return {
    ofTime: (space, range) => openRun(byTime, [space], range),
    ofState: (scope, state, range) => openRun(byState, [scope, state], range),
    ofLabel: (space, label, range) => openRun(byLabel, [space, label], range),
    read(id) {
      const [revision, change, bytes] = status.get(id) as unknown as [number, number, Uint8Array];
      return { revision, change, status: bytes };
    },
  };
}

function openRun(statement: StatementSync, of: readonly (number | string)[], range: RunRange): Run {
  let { createMs, tie } = range;
  let rows: Row[] = [];
  let at = 0;
  let ended = false;
  return () => {
    if (at === rows.length && !ended) {
      const found = statement.all(...of, createMs, tie, range.fromMs, range.chunk) as unknown as RowValues[];
      rows = found.map(rowFromValues);
      at = 0;
      ended = rows.length < range.chunk;
    }
    const row = rows[at];
    if (row === undefined) return undefined;
    at += 1;
    ({ createMs, tie } = row);
    return row;
  };
}

/** One run out of several: always the newest row that any of them has left. */
export function mergeRuns(runs: readonly Run[]): Run {
  const [only] = runs;
  if (runs.length === 1 && only !== undefined) return only;
  const heads = runs.flatMap((run) => {
    const row = run();
    return row === undefined ? [] : [{ row, run }];
  });
  return () => {
    let newest = 0;
    for (let index = 1; index < heads.length; index += 1) if (isNewer(heads, index, newest)) newest = index;
    const head = heads[newest];
    if (head === undefined) return undefined;
    const { row } = head;
    const next = head.run();
    if (next === undefined) heads.splice(newest, 1);
    else head.row = next;
    return row;
  };
}

function isNewer(heads: readonly { readonly row: Row }[], index: number, than: number): boolean {
  const [row, other] = [heads[index]?.row, heads[than]?.row];
  if (row === undefined || other === undefined) return false;
  return row.createMs > other.createMs || (row.createMs === other.createMs && row.tie > other.tie);
}

type RowValues = [
  id: number,
  scope: number,
  suffix: string,
  state: TaskState,
  createMs: number,
  tie: number,
  expireMs: number,
  type: string,
  labels: string,
];

function rowFromValues(values: RowValues): Row {
  const [id, scope, suffix, state, createMs, tie, expireMs, type, labels] = values;
  return { id, scope, suffix, state, createMs, tie, expireMs, type, labels };
}

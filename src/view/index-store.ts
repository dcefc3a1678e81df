import { DatabaseSync, type StatementSync } from "node:sqlite";

import { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import type { TaskKey } from "../task/task-id.ts";
import { type FreshTask, queuedChange, scheduledChange, type StatusSnapshot } from "../task/task.ts";
import { isTerminal } from "../task/transitions.ts";
import { indexSchema } from "./index-schema.ts";
import { type Scope, Scopes } from "./scopes.ts";
import { encodeFreshStatus, type FixedFields, readFixedFields } from "./status-fields.ts";

/** A write to a record. */
export interface RecordChange extends StatusSnapshot {
  /** How much of `bytes` is the immutable part. */
  readonly immutableLength: number;
}

/** What may happen to a row. */
export type IndexChange =
  | { readonly kind: "record"; readonly record: RecordChange }
  | { readonly kind: "fresh"; readonly task: FreshTask }
  | { readonly kind: "removed"; readonly key: TaskKey; readonly revision: number };

/** A status as the index has it. */
export interface IndexedStatus extends StatusSnapshot {
  /**
   * The revision at which it last changed in a way that watchers are told of: heartbeats since then have made newer ones.
   * Of what happened before this process followed, the newest is taken.
   */
  readonly visibleRevision: number;
}

/** What an index needs. */
export interface IndexStoreOptions {
  readonly nowMs: () => number;
  /** Is told of what cannot be kept, for the log. */
  readonly onTrouble: (what: string, detail: string) => void;
}

/** The store forgets by another clock than ours: a record may be gone a little before its time, or still be there after it. */
const expirySlackMs = 60_000;
const pageBytes = 4_096;

/**
 * All statuses, in a SQLite database in memory: what gets, lists and the snapshots of watches are answered from.
 *
 * Records win over fresh tasks, later revisions over earlier ones, and QUEUED over SCHEDULED; whatever comes late is
 * ignored, so changes may be applied again. Rows whose time is over are absent at once, and gone with an `expire` a minute later.
 *
 * There is no journal: after an exception the index is to be cleared.
 */
export class IndexStore {
  readonly scopes = new Scopes();
  readonly database = new DatabaseSync(":memory:");
  readonly #options: IndexStoreOptions;
  readonly #statements: Statements;

  constructor(options: IndexStoreOptions) {
    this.#options = options;
    this.database.exec(indexSchema);
    this.#statements = prepareStatements(this.database);
  }

  /** How many statuses there are. */
  get rows(): number {
    return this.scopes.total;
  }

  /** How much memory they take. */
  get bytes(): number {
    const [pages] = this.#statements.pages.get() as unknown as [number];
    return pages * pageBytes;
  }

  /** The status of a task; undefined if there is none or its time is over. */
  get(key: TaskKey): IndexedStatus | undefined {
    const scope = this.scopes.find(key.namespace, key.queue);
    if (scope === undefined) return undefined;
    const row = this.#statements.get.get(key.suffix, scope.id) as StatusRow | undefined;
    if (row === undefined) return undefined;
    const [state, revision, visibleRevision, change, expireMs, bytes] = row;
    if (expireMs !== 0 && expireMs <= this.#options.nowMs()) return undefined;
    return { key, revision, visibleRevision, state, change, expireMs, bytes };
  }

  /** Applies changes. Several of one task are to be merged beforehand. */
  apply(changes: Iterable<IndexChange>): void {
    this.#inTransaction(() => {
      for (const change of changes) {
        if (change.kind === "record") this.#applyRecord(change.record);
        else if (change.kind === "fresh") this.#applyFresh(change.task);
        else this.#applyRemoval(change.key, change.revision);
      }
    });
  }

  /** Whether a record of the task may be stored: there is one here, or its time was over only lately. */
  mayHaveRecord(key: TaskKey): boolean {
    const scope = this.scopes.find(key.namespace, key.queue);
    const row = scope && (this.#statements.find.get(key.suffix, scope.id) as FoundRow | undefined);
    return row !== undefined && row[2] > 0;
  }

  /** Removes up to `limit` tasks whose time was over a minute ago and returns them. */
  expire(limit: number): TaskKey[] {
    const beforeMs = this.#options.nowMs() - expirySlackMs;
    const ids = this.#statements.expired.all(beforeMs, limit) as unknown as [number][];
    return ids.length === 0 ? [] : this.#inTransaction(() => ids.map(([id]) => this.#remove(id)));
  }

  /** Whether something is here that was written before `firstRevision` and should still be stored. */
  holdsFromBefore(firstRevision: number): boolean {
    const [oldestOpen] = this.#statements.oldestOpen.get() as unknown as [number | null];
    if (oldestOpen !== null && oldestOpen < firstRevision) return true;
    const ended = this.#statements.longestKept.get() as unknown as [number, number] | undefined;
    if (ended === undefined) return false;
    const [expireMs, revision] = ended;
    return revision < firstRevision && expireMs > this.#options.nowMs() + expirySlackMs;
  }

  /** Forgets everything. */
  clear(): void {
    this.database.exec("DELETE FROM label; DELETE FROM task;");
    this.scopes.reset();
  }

  close(): void {
    this.database.close();
  }

  #applyRecord(record: RecordChange): void {
    const { key, revision, state, change, expireMs, bytes, immutableLength } = record;
    const scope = this.scopes.admit(key.namespace, key.queue);
    const row = this.#find(key, scope);
    if (row === undefined) {
      const fixed = this.#fixedFields(key, bytes.subarray(0, immutableLength));
      if (fixed !== undefined) this.#add({ ...record, visibleRevision: revision }, fixed);
      return;
    }
    const [id, oldState, oldRevision, oldVisible, oldChange] = row;
    if (oldRevision >= revision) return;
    if (isTerminal(oldState)) {
      // Nothing comes after the end. The record of a task that was forgotten, and whose id was taken again, is another one.
      this.#remove(id);
      this.#applyRecord(record);
      return;
    }
    const visible = oldRevision > 0 && oldChange === change ? oldVisible : revision;
    this.#statements.update.run(state, revision, visible, change, expireMs, bytes, id);
    this.#recount(scope, oldState, state);
  }

  #applyFresh(task: FreshTask): void {
    const { key, state, immutable } = task;
    const change = state === TaskState.SCHEDULED ? scheduledChange : queuedChange;
    const scope = this.scopes.admit(key.namespace, key.queue);
    const row = this.#find(key, scope);
    if (row !== undefined && (row[2] > 0 || row[4] >= change)) return;
    const fixed = this.#fixedFields(key, immutable);
    if (fixed === undefined) return;
    const bytes = encodeFreshStatus(task, fixed);
    if (row === undefined) {
      this.#add({ key, revision: 0, visibleRevision: 0, state, change, expireMs: 0, bytes }, fixed);
      return;
    }
    this.#statements.update.run(state, 0, 0, change, 0, bytes, row[0]);
    this.#recount(scope, row[1], state);
  }

  #applyRemoval(key: TaskKey, revision: number): void {
    const row = this.#find(key, this.scopes.admit(key.namespace, key.queue));
    if (row !== undefined && row[2] < revision) this.#remove(row[0]);
  }

  /** The row of a task, unless its time is over: then it is removed. */
  #find(key: TaskKey, scope: Scope): FoundRow | undefined {
    const row = this.#statements.find.get(key.suffix, scope.id) as FoundRow | undefined;
    if (row === undefined || row[5] === 0 || row[5] > this.#options.nowMs()) return row;
    this.#remove(row[0]);
    return undefined;
  }

  #fixedFields(key: TaskKey, immutable: Uint8Array): FixedFields | undefined {
    try {
      return readFixedFields(immutable);
    } catch (error) {
      // Written by something that is not us. It cannot be served, and must not stop the rest.
      this.#options.onTrouble("status is unreadable", `${key.queue}.${key.namespace}.${key.suffix}: ${String(error)}`);
      return undefined;
    }
  }

  #add(status: IndexedStatus, { type, createMs, labels }: FixedFields): void {
    const { key, state, revision, visibleRevision, change, expireMs, bytes } = status;
    const { id: scope, space } = this.scopes.admit(key.namespace, key.queue);
    const tie = tieOf(key.suffix);
    const { lastInsertRowid: id } = this.#statements.insert.run(
      space,
      scope,
      key.suffix,
      state,
      revision,
      visibleRevision,
      change,
      expireMs,
      createMs,
      tie,
      type,
      labels.length === 0 ? "" : JSON.stringify(labels),
      bytes,
    );
    for (const label of labels) this.#statements.insertLabel.run(space, label, createMs, tie, id);
    this.scopes.increment(scope, state);
  }

  #remove(id: number): TaskKey {
    const row = this.#statements.delete.get(id) as unknown as DeletedRow;
    const [scopeId, suffix, state, createMs, tie, labels] = row;
    const { namespace, queue, space } = this.scopes.get(scopeId);
    if (labels !== "") {
      for (const label of JSON.parse(labels) as string[]) {
        this.#statements.deleteLabel.run(space, label, createMs, tie, id);
      }
    }
    this.scopes.decrement(scopeId, state);
    return { namespace, queue, suffix };
  }

  #recount({ id }: Scope, from: TaskState, to: TaskState): void {
    if (from === to) return;
    this.scopes.decrement(id, from);
    this.scopes.increment(id, to);
  }

  #inTransaction<Result>(work: () => Result): Result {
    this.#statements.begin.run();
    try {
      return work();
    } finally {
      this.#statements.commit.run();
    }
  }
}

/** Orders tasks of the same millisecond: the last 50 bits of the id, which are as good as random. */
export function tieOf(suffix: string): number {
  let tie = 0;
  for (let index = suffix.length - 10; index < suffix.length; index += 1) {
    tie = tie * 32 + Math.max(0, alphabet.indexOf(suffix.charAt(index)));
  }
  return tie;
}

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

type Statements = ReturnType<typeof prepareStatements>;
type FoundRow = [id: number, state: TaskState, revision: number, visible: number, change: number, expireMs: number];
type DeletedRow = [scope: number, suffix: string, state: TaskState, createMs: number, tie: number, labels: string];
type StatusRow = [
  state: TaskState,
  revision: number,
  visible: number,
  change: number,
  expireMs: number,
  status: Uint8Array,
];

function prepareStatements(database: DatabaseSync) {
  const prepare = (sql: string): StatementSync => {
    const statement = database.prepare(sql);
    statement.setReturnArrays(true);
    return statement;
  };
  return {
    begin: prepare("BEGIN"),
    commit: prepare("COMMIT"),
    find: prepare("SELECT id, state, revision, visible, change, expire_ms FROM task WHERE suffix = ? AND scope = ?"),
    get: prepare("SELECT state, revision, visible, change, expire_ms, status FROM task WHERE suffix = ? AND scope = ?"),
    insert: prepare(
      `INSERT INTO task (space, scope, suffix, state, revision, visible, change, expire_ms, create_ms, tie, type, labels,
         status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    update: prepare(
      "UPDATE task SET state = ?, revision = ?, visible = ?, change = ?, expire_ms = ?, status = ? WHERE id = ?",
    ),
    delete: prepare("DELETE FROM task WHERE id = ? RETURNING scope, suffix, state, create_ms, tie, labels"),
    insertLabel: prepare("INSERT INTO label (space, label, create_ms, tie, task) VALUES (?, ?, ?, ?, ?)"),
    deleteLabel: prepare("DELETE FROM label WHERE space = ? AND label = ? AND create_ms = ? AND tie = ? AND task = ?"),
    expired: prepare("SELECT id FROM task WHERE expire_ms > 0 AND expire_ms <= ? ORDER BY expire_ms LIMIT ?"),
    oldestOpen: prepare("SELECT min(revision) FROM task WHERE expire_ms = 0 AND revision > 0"),
    longestKept: prepare("SELECT expire_ms, revision FROM task WHERE expire_ms > 0 ORDER BY expire_ms DESC LIMIT 1"),
    pages: prepare("PRAGMA page_count"),
  };
}

import type { TaskState } from "../gen/taskwatch/v1/task_pb.ts";

/** A queue of a namespace: its number in the index, and how many tasks are in which state. */
export interface Scope {
  readonly id: number;
  /** The number of its namespace. */
  readonly space: number;
  readonly namespace: string;
  readonly queue: string;
  /** States without a task are left out. */
  readonly counts: ReadonlyMap<TaskState, number>;
}

interface OwnScope extends Scope {
  readonly counts: Map<TaskState, number>;
}

/**
 * The queues of all namespaces that were ever seen, and their counts: kept with every change, so that nobody has to count
 * rows.
 */
export class Scopes {
  readonly #byId: OwnScope[] = [];
  readonly #spaces = new Map<string, { readonly id: number; readonly queues: Map<string, OwnScope> }>();
  #total = 0;

  /** How many tasks there are. */
  get total(): number {
    return this.#total;
  }

  /** The scope of a task; undefined if none of its queue was ever seen. */
  find(namespace: string, queue: string): Scope | undefined {
    return this.#spaces.get(namespace)?.queues.get(queue);
  }

  /** The scope with a number that the index holds. */
  get(id: number): Scope {
    return this.#own(id);
  }

  /** The scope of a task, made if it is new. */
  admit(namespace: string, queue: string): Scope {
    const known = this.#spaces.get(namespace);
    const space = known ?? { id: this.#spaces.size, queues: new Map<string, OwnScope>() };
    if (known === undefined) this.#spaces.set(namespace, space);
    const found = space.queues.get(queue);
    if (found !== undefined) return found;
    const scope = { id: this.#byId.length, space: space.id, namespace, queue, counts: new Map<TaskState, number>() };
    this.#byId.push(scope);
    space.queues.set(queue, scope);
    return scope;
  }

  /** The scopes of a namespace. */
  of(namespace: string): Iterable<Scope> {
    return this.#spaces.get(namespace)?.queues.values() ?? [];
  }

  /** All of them. */
  all(): readonly Scope[] {
    return this.#byId;
  }

  /** Counts one task more in a state. */
  increment(id: number, state: TaskState): void {
    const { counts } = this.#own(id);
    counts.set(state, (counts.get(state) ?? 0) + 1);
    this.#total += 1;
  }

  /** Counts one less. */
  decrement(id: number, state: TaskState): void {
    const { counts } = this.#own(id);
    const count = counts.get(state) ?? 0;
    if (count > 1) counts.set(state, count - 1);
    else counts.delete(state);
    this.#total -= 1;
  }

  /** Counts anew from nothing. */
  reset(): void {
    for (const { counts } of this.#byId) counts.clear();
    this.#total = 0;
  }

  #own(id: number): OwnScope {
    const scope = this.#byId[id];
    if (scope === undefined) throw new RangeError(`no scope has number ${id}`);
    return scope;
  }
}

import { isTerminal, type TaskState, type TaskStatus } from "../status/task-status.ts";

interface Seen {
  readonly revision: number;
  readonly state: TaskState;
}

/** How many tasks of a selector are remembered; the service tells nothing twice, so this is only a second net. */
const maxRemembered = 100_000;

/** What a watch has told of each task: nothing is told twice, nothing goes back, and after the end of a task comes nothing. */
export class SeenTasks {
  readonly #ids: ReadonlySet<string> | undefined;
  readonly #seen = new Map<string, Seen>();
  readonly #ended = new Set<string>();

  /** `ids` are the watched tasks; undefined when they are picked by a selector. */
  constructor(ids: readonly string[] | undefined) {
    this.#ids = ids && new Set(ids);
  }

  /** Takes note of a status and says whether it is news. */
  isNews({ taskId, revision, state }: TaskStatus): boolean {
    if (this.#ended.has(taskId)) return false;
    const last = this.#seen.get(taskId);
    if (last !== undefined && !follows(last, { revision, state })) return false;
    this.#seen.set(taskId, { revision, state });
    if (isTerminal(state)) this.#ended.add(taskId);
    this.#forgetOldest();
    return true;
  }

  /** Takes note that a status is gone and says whether that is news. */
  isNewsOfRemoval(taskId: string): boolean {
    if (this.#ended.has(taskId)) return false;
    this.#ended.add(taskId);
    this.#forgetOldest();
    return true;
  }

  /** Whether anything was told of the task. */
  has(taskId: string): boolean {
    return this.#seen.has(taskId);
  }

  /** The watched tasks that have not ended; undefined when they are picked by a selector. */
  get open(): readonly string[] | undefined {
    return this.#ids && [...this.#ids].filter((id) => !this.#ended.has(id));
  }

  /** Whether all watched tasks have ended; never, when they are picked by a selector. */
  get allEnded(): boolean {
    return this.#ids !== undefined && this.#ended.size >= this.#ids.size;
  }

  /** Forgets everything. */
  reset(): void {
    this.#seen.clear();
    this.#ended.clear();
  }

  #forgetOldest(): void {
    if (this.#ids !== undefined) return;
    for (const entries of [this.#seen, this.#ended]) {
      if (entries.size <= maxRemembered) continue;
      for (const oldest of entries.keys()) {
        entries.delete(oldest);
        break;
      }
    }
  }
}

/** A task that was never claimed has revision 0 both while it is SCHEDULED and while it is QUEUED. */
function follows(last: Seen, next: Seen): boolean {
  if (next.revision !== last.revision) return next.revision > last.revision;
  return next.revision === 0 && last.state === "SCHEDULED" && next.state !== "SCHEDULED";
}

import { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import { hasEnded, type StatusSnapshot } from "../task/task.ts";
import type { IndexedStatus } from "../view/index-store.ts";
import { PositionSet } from "./position-set.ts";
import { createTokenWriter, type ResumePoint, type ResumeScope } from "./resume-token.ts";

/** What a watch begins with. */
export interface WatchProgressOptions {
  readonly scope: ResumeScope;
  /** How many tasks are watched. */
  readonly length: number;
  readonly resume: ResumePoint | undefined;
  /** Whatever is not sent yet of what happened up to this revision is to be noted as behind. */
  readonly cutRevision: number;
}

/** How far a watch is: what was sent, as its tokens say it. Tasks are named by their positions in the sorted list of ids. */
export class WatchProgress {
  readonly #resume: ResumePoint | undefined;
  readonly #length: number;
  readonly #writeToken: (point: ResumePoint) => string;
  readonly #behind: PositionSet;
  readonly #scheduled: PositionSet;
  readonly #ended: PositionSet;
  #revision: number;
  #change: number;

  constructor({ scope, length, resume, cutRevision }: WatchProgressOptions) {
    this.#resume = resume && { ...resume, behind: new PositionSet(resume.behind.bytes) };
    this.#length = length;
    this.#writeToken = createTokenWriter(scope);
    this.#revision = cutRevision;
    this.#change = resume?.change ?? 0;
    this.#behind = resume?.behind ?? new PositionSet();
    this.#scheduled = resume?.scheduled ?? new PositionSet();
    this.#ended = resume?.ended ?? new PositionSet();
  }

  /** Whether nothing more can come. */
  get isOver(): boolean {
    return this.#ended.size === this.#length;
  }

  /** Whether nothing more can come of a task. */
  hasEnded(position: number): boolean {
    return this.#ended.has(position);
  }

  /** Whether a task, as found at the beginning, is not what was last sent of it. */
  isOwed(position: number, found: IndexedStatus): boolean {
    if (this.#resume === undefined) return true;
    const { behind, scheduled, revision, change } = this.#resume;
    if (behind.has(position)) return true;
    if (found.revision === 0) return scheduled.has(position) && found.state !== TaskState.SCHEDULED;
    if (found.visibleRevision <= revision) return false;
    // Where the last change is known, a heartbeat is known for what it is.
    return change === 0 || found.change !== change || hasEnded(found);
  }

  /** The last change that was sent of a task, as found at the beginning; 0 if it is not known. */
  sentChange(isOwed: boolean, found: IndexedStatus | undefined): number {
    // Of a task that has not moved, what was sent last is what was found.
    return isOwed ? this.#change : (found?.change ?? 0);
  }

  /** Something of the task comes later than its revision says. */
  noteBehind(position: number): void {
    this.#behind.add(position);
  }

  /** A status is being sent. */
  noteSent(position: number, { revision, change, state }: StatusSnapshot): void {
    this.#revision = Math.max(this.#revision, revision);
    if (this.#length === 1) this.#change = change;
    this.#behind.delete(position);
    if (state === TaskState.SCHEDULED) this.#scheduled.add(position);
    else this.#scheduled.delete(position);
  }

  /** The end of a task, or that it is gone, is being sent. */
  noteEnd(position: number): void {
    this.#ended.add(position);
    this.#behind.delete(position);
    this.#scheduled.delete(position);
  }

  /** Everything up to a revision was sent, but for what is behind. */
  moveTo(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  /** The token that stands for what was sent. */
  token(): string {
    return this.#writeToken({
      revision: this.#revision,
      change: this.#change,
      behind: this.#behind,
      scheduled: this.#scheduled,
      ended: this.#ended,
    });
  }
}

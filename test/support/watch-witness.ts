import assert from "node:assert/strict";

import type { WatchEvent } from "../../src/operations/operations.ts";
import { taskIdOf } from "../../src/task/task.ts";
import { isTerminal } from "../../src/task/transitions.ts";
import { currentOf, type ModelTask } from "./view-model.ts";

/** What one watcher was sent, over all its streams; every rule of the contract is checked as it comes. */
export class WatchWitness {
  readonly #tasks: readonly ModelTask[];
  readonly #last = new Map<string, { readonly revision: number; readonly change: number; readonly readings: number }>();
  readonly #over = new Set<string>();
  readonly #holdsBack: boolean;
  /** How often the view was read anew, and how often before the stream was opened. */
  #readings = 0;
  #readingsAtOpen = 0;
  token: string | undefined;

  constructor(tasks: readonly ModelTask[], { holdsBack }: { readonly holdsBack: boolean }) {
    this.#tasks = tasks;
    this.#holdsBack = holdsBack;
  }

  /** What it knew of heartbeats is lost. */
  viewWasReadAnew(): void {
    this.#readings += 1;
  }

  resumed(): void {
    this.#readingsAtOpen = this.#readings;
  }

  get sawAllEnds(): boolean {
    return this.#over.size === this.#tasks.length;
  }

  see(event: WatchEvent): void {
    this.token = event.resumeToken;
    if (event.kind === "bookmark") this.#checkBookmark(event.revision);
    if (event.kind !== "status") return;
    const { status, merged } = event;
    const taskId = taskIdOf(status);
    const last = this.#last.get(taskId);
    assert.ok(!this.#over.has(taskId), "nothing comes after the end");
    if (last !== undefined) {
      assert.ok(status.revision >= last.revision, "W1: revisions never go back");
      const mayRepeat = last.readings !== this.#readings && this.#tasks.length > 1;
      const isRepeat = mayRepeat && status.change === last.change;
      if (isRepeat) assert.ok(status.revision > last.revision, "W2: a repeat has a newer revision");
      else if (last.revision === 0 && status.revision > 0) assert.ok(status.change >= last.change);
      else assert.ok(status.change > last.change, "W2: nothing is sent twice");
    }
    // What a resume finds moved, among several tasks, moved from it knows not where.
    const isKnown = last !== undefined && (!event.snapshot || this.#tasks.length === 1);
    assert.equal(merged, isKnown ? Math.max(0, status.change - last.change - 1) : 0, "merged is exact");
    this.#last.set(taskId, { revision: status.revision, change: status.change, readings: this.#readingsAtOpen });
    if (isTerminal(status.state)) this.#over.add(taskId);
  }

  /** Once everything is read, the watcher knows how things are. */
  checkLatest(): void {
    for (const task of this.#tasks) {
      assert.equal(this.#last.get(task.taskId)?.change, currentOf(task).change, "the latest is known");
    }
  }

  #checkBookmark(revision: number): void {
    if (this.#holdsBack) return;
    for (const { taskId, changes } of this.#tasks) {
      const due = changes.findLast((change) => change.revision > 0 && change.revision <= revision);
      assert.ok((this.#last.get(taskId)?.change ?? 0) >= (due?.change ?? 0), "a bookmark is true");
    }
  }
}

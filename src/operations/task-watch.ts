/**
 * The watch contract.
 *
 * What is sent, in this order:
 *
 *     snapshot   the status of every watched task, in the order of ids      (a fresh watch)
 *     status     of every watched task that moved since the token           (a resumed one)
 *     bookmark   "everything up to here was sent"
 *     then       status on every visible change, bookmark every 10 s or so, removed, going away
 *
 * W1  The revisions of a task never go back, within a stream and across resumes.
 * W2  Nothing is sent twice, and heartbeats, which change nothing that people see, are not sent at all. Only after a resume
 *     at another process may the status of a running task come again with a newer revision.
 * W3  A terminal status is never merged away. After the last one the stream ends OK. It also ends OK after the removal of
 *     the last task, after going away, and after the bookmark of a resume that found everything sent. Not otherwise.
 * W4  A token stands for the message it came with and all before it: a resume sends the rest. A token of another store,
 *     or of a revision that this one has not reached, is refused with DATA_LOSS.
 * W5  With a minimum interval, progress waits for its turn and newer progress takes its place; states and the end do not
 *     wait.
 * W6  What is due is kept as the latest status of each task. A reader who leaves too much of it, or all of it for too long,
 *     is closed with RESOURCE_EXHAUSTED and a token. Nobody else feels it.
 *
 * How it is done: the index is read and the subscription made in one turn of the event loop, at the revision of the cut.
 * Of what was found only the place is kept, and the index is read again when its turn comes; a task that moves meanwhile
 * loses its place and queues with its new status instead. What queues is in the order of revisions, so the token of each
 * message says with one number what was sent, and names the tasks for which that number is wrong: those that are behind
 * (not sent yet, or held back), those that have ended, and those without a revision.
 *
 * Bookmarks go through the same queue. There are none while the view is not proven to be in sync: their absence says so.
 */
import { GoingAwayEvent_Reason, RemovedEvent_Reason } from "../gen/taskwatch/v1/task_service_pb.ts";
import { TaskError } from "../task/errors.ts";
import type { TaskKey } from "../task/task-id.ts";
import { hasEnded, taskIdOf } from "../task/task.ts";
import type { IndexedStatus } from "../view/index-store.ts";
import type { View } from "../view/view.ts";
import type { Watch, WatchEvent } from "./operations.ts";
import { type ResumePoint, type ResumeScope, storeReplaced } from "./resume-token.ts";
import type { Timer, TimerWheel } from "./timer-wheel.ts";
import { bookmarkPauseMs, type WatchLimits } from "./watch-limits.ts";
import { WatchProgress } from "./watch-progress.ts";
import { type Due, WatchedTask, type WatchedTaskOwner } from "./watched-task.ts";

/** What a watch is made of. */
export interface TaskWatchOptions {
  readonly view: Pick<View, "appliedRevision" | "isProven" | "get" | "subscribe">;
  /** The watched tasks, sorted by id, none twice. */
  readonly keys: readonly TaskKey[];
  /** What the view has of each, read in this turn of the event loop. Undefined only where a watch is resumed. */
  readonly found: readonly (IndexedStatus | undefined)[];
  readonly scope: ResumeScope;
  /** Where to continue. Unset: a fresh watch. */
  readonly resume?: ResumePoint | undefined;
  readonly minIntervalMs: number;
  readonly wheel: TimerWheel;
  readonly limits: WatchLimits;
  /** A change reached its watcher so long after it was written. */
  readonly onLag: (seconds: number) => void;
  /** Called once, when the watch has released everything. */
  readonly onReleased: () => void;
}

interface Bookmark {
  readonly revision: number;
}

interface Farewell {
  readonly reason: GoingAwayEvent_Reason;
  readonly resumeDelayMs: number;
}

/** How soon a bookmark is tried again that could not be given. */
const unprovenRetryMs = 1_000;
/** Within what time those return who were told to go because of their age. */
const ageResumeMs = 1_000;

/** See the head of this file. */
export class TaskWatch implements Watch, WatchedTaskOwner {
  readonly minIntervalMs: number;
  readonly #options: TaskWatchOptions;
  readonly #progress: WatchProgress;
  readonly #tasks: readonly WatchedTask[];
  /** Those whose found status is to be sent. */
  readonly #owed: Set<WatchedTask>;
  readonly #due = new Set<WatchedTask | Bookmark>();
  readonly #leaveMs: number;
  #isOpened = false;
  #bookmark: Bookmark | undefined;
  #dueBytes = 0;
  #isIdle = false;
  #takenMs = performance.now();
  #timer: Timer | undefined;
  #farewell: Farewell | undefined;
  #end: "ok" | TaskError | undefined;
  #isReleased = false;
  #isClosed = false;
  onReady: (() => void) | undefined;

  constructor(options: TaskWatchOptions) {
    const { view, scope, resume, limits, minIntervalMs, keys } = options;
    this.#options = options;
    this.minIntervalMs = minIntervalMs;
    this.#progress = new WatchProgress({ scope, resume, length: keys.length, cutRevision: view.appliedRevision });
    this.#leaveMs = performance.now() + limits.maxAgeMs * (0.9 + Math.random() * 0.2);
    this.#tasks = keys.map((key, position) => this.#begin(key, position));
    this.#owed = new Set(this.#tasks.filter(({ isOwed }) => isOwed));
    this.#scheduleTick(bookmarkPauseMs(limits));
  }

  get end(): "ok" | TaskError | undefined {
    return this.#end;
  }

  take(): WatchEvent | undefined {
    if (this.#end !== undefined || this.#isClosed) return undefined;
    this.#takenMs = performance.now();
    if (this.#farewell !== undefined) return this.#goAway(this.#farewell);
    const event = this.#takeOwed() ?? this.#takeDue();
    if (event === undefined) this.#isIdle = true;
    else if (this.#progress.isOver) this.#finish("ok");
    return event;
  }

  close(): void {
    this.#isClosed = true;
    this.onReady = undefined;
    this.#release();
  }

  /** Ends the watch in favour of another process, or of a new stream. What is due comes after the resume. */
  goAway(reason: GoingAwayEvent_Reason, resumeDelayMs: number): void {
    if (this.#end !== undefined || this.#farewell !== undefined) return;
    this.#farewell = { reason, resumeDelayMs };
    this.#release();
    this.#wake();
  }

  enqueue(task: WatchedTask): void {
    if (this.#isReleased) return;
    const hadPlace = this.#due.delete(task);
    this.#due.add(task);
    // What a bookmark stands for is now in what comes after it.
    if (hadPlace && this.#bookmark !== undefined) this.#enqueueBookmark(this.#bookmark);
    if (this.#dueBytes > this.#options.limits.maxDueBytes) this.#finish(this.#slowReader());
    this.#wake();
  }

  noteBehind({ position }: WatchedTask): void {
    this.#progress.noteBehind(position);
  }

  schedule(delayMs: number, callback: () => void): Timer {
    return this.#options.wheel.schedule(delayMs, callback);
  }

  account(bytes: number): void {
    this.#dueBytes += bytes;
  }

  onReplaced(): void {
    this.#finish(storeReplaced());
    this.#wake();
  }

  #begin(key: TaskKey, position: number): WatchedTask {
    const { view, found } = this.#options;
    const status = found[position];
    const isOwed = status !== undefined && this.#progress.isOwed(position, status);
    const sentChange = this.#progress.sentChange(isOwed, status);
    const task = new WatchedTask(this, { key, position, found: status, isOwed, sentChange });
    if (isOwed) this.#progress.noteBehind(position);
    if (this.#progress.hasEnded(position)) task.end();
    else if (status === undefined) task.onRemoved("unknown");
    else task.hear(view.subscribe(key, task));
    return task;
  }

  #takeOwed(): WatchEvent | undefined {
    for (const task of this.#owed) {
      this.#owed.delete(task);
      const status = this.#options.view.get(task.key);
      // It may have moved, also while it was looked for: then it queues with its new status.
      if (!task.isOwed) continue;
      if (status === undefined) return this.#sendRemoval(task, "expired");
      return this.#sendStatus(task, { kind: "status", status, writtenMs: undefined, snapshot: true });
    }
    if (this.#isOpened) return undefined;
    this.#isOpened = true;
    this.#enqueueBookmark();
    return undefined;
  }

  #takeDue(): WatchEvent | undefined {
    for (const item of this.#due) {
      this.#due.delete(item);
      if (!(item instanceof WatchedTask)) return this.#sendBookmark(item);
      const due = item.takeDue();
      if (due?.kind === "status") return this.#sendStatus(item, due);
      if (due?.kind === "removed") return this.#sendRemoval(item, due.reason);
    }
    return undefined;
  }

  #sendStatus(task: WatchedTask, { status, snapshot, writtenMs }: Due & { readonly kind: "status" }): WatchEvent {
    const merged = task.noteSent(status);
    this.#progress.noteSent(task.position, status);
    if (hasEnded(status)) this.#endTask(task);
    if (writtenMs !== undefined) this.#options.onLag(Math.max(0, Date.now() - writtenMs) / 1_000);
    return { kind: "status", status, snapshot, merged, resumeToken: this.#progress.token() };
  }

  #sendRemoval(task: WatchedTask, reason: (Due & { readonly kind: "removed" })["reason"]): WatchEvent {
    this.#endTask(task);
    const resumeToken = this.#progress.token();
    return { kind: "removed", taskId: taskIdOf(task), reason: removalReasons[reason], resumeToken };
  }

  #sendBookmark({ revision }: Bookmark): WatchEvent {
    this.#bookmark = undefined;
    this.#progress.moveTo(revision);
    return { kind: "bookmark", revision, resumeToken: this.#progress.token() };
  }

  #goAway({ reason, resumeDelayMs }: Farewell): WatchEvent {
    this.#finish("ok");
    return { kind: "going_away", reason, resumeDelayMs, resumeToken: this.#progress.token() };
  }

  #endTask(task: WatchedTask): void {
    task.end();
    this.#progress.noteEnd(task.position);
  }

  #enqueueBookmark(bookmark: Bookmark = { revision: this.#options.view.appliedRevision }): void {
    if (this.#bookmark !== undefined) this.#due.delete(this.#bookmark);
    this.#bookmark = bookmark;
    this.#due.add(bookmark);
  }

  #scheduleTick(delayMs: number): void {
    this.#timer = this.#options.wheel.schedule(delayMs, () => this.#tick());
  }

  #tick(): void {
    const { limits, view } = this.#options;
    const nowMs = performance.now();
    if (nowMs >= this.#leaveMs) {
      this.goAway(GoingAwayEvent_Reason.MAX_AGE, Math.random() * ageResumeMs);
    } else if (!this.#isIdle && nowMs - this.#takenMs > limits.maxStallMs) {
      this.#finish(this.#slowReader());
      this.#wake();
    } else if (!this.#isOpened || !view.isProven) {
      this.#scheduleTick(Math.min(unprovenRetryMs, limits.bookmarkMs));
    } else {
      this.#scheduleTick(bookmarkPauseMs(limits));
      this.#enqueueBookmark();
      this.#wake();
    }
  }

  #slowReader(): TaskError {
    return new TaskError("SLOW_READER", "the watch was left unread for too long", {
      metadata: { resume_token: this.#progress.token() },
    });
  }

  #wake(): void {
    if (!this.#isIdle) return;
    this.#isIdle = false;
    this.onReady?.();
  }

  #finish(end: "ok" | TaskError): void {
    this.#end ??= end;
    this.#release();
  }

  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#timer?.cancel();
    for (const task of this.#tasks) task.end();
    this.#owed.clear();
    this.#due.clear();
    this.#options.onReleased();
  }
}

const removalReasons = {
  expired: RemovedEvent_Reason.EXPIRED,
  deleted: RemovedEvent_Reason.DELETED,
  unknown: RemovedEvent_Reason.UNKNOWN,
} as const;

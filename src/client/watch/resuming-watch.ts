/**
 * A watch that goes on until every watched task has ended, over as many streams as it takes.
 *
 * - It keeps the token of the last message and continues there, so nothing is missed; what it has told already it does not
 *   tell again.
 * - A cut (UNAVAILABLE, a lost connection, an end without a reason, 35 s of silence) is followed by a wait of up to
 *   0.2 s × 2^n, at most 10 s, drawn evenly; n starts over after 60 s of health. An announced end is followed by the wait
 *   that the server asked for.
 * - If the token stands for nothing any more, it says so (`reset`) and starts over.
 * - From the third fruitless attempt in a row on, and after an end without a reason, it also reads the statuses by
 *   themselves.
 * - While its reader is slow, the stream is paused; the silence is then our own.
 */
import { create } from "@bufbuild/protobuf";

import {
  RemovedEvent_Reason,
  type StatusEvent,
  type WatchStatusRequest,
  WatchStatusRequestSchema,
  type WatchStatusResponse,
} from "../../gen/taskwatch/v1/task_service_pb.ts";
import { backoffMs } from "../backoff.ts";
import type { Clock } from "../clock.ts";
import type { ReadResult } from "../status/read-statuses.ts";
import { statusFromMessage } from "../status/status-from-message.ts";
import { isTerminal, type RemovalReason, type TaskStatus } from "../status/task-status.ts";
import { TaskwatchError } from "../taskwatch-error.ts";
import type { Transport } from "../transport.ts";
import { EventQueue } from "./event-queue.ts";
import { SeenTasks } from "./seen-tasks.ts";
import { type EpisodeEnd, WatchEpisode } from "./watch-episode.ts";
import type { Watch, WatchEvent, WatchOptions } from "./watch-event.ts";
import { judgeEnd, type TokenSource } from "./watch-verdict.ts";

/** What a watch is made of. */
export interface ResumingWatchOptions extends WatchOptions {
  /** What to watch, without a token. */
  readonly request: WatchStatusRequest;
  readonly transport: Pick<Transport, "watchStatus">;
  /** Reads the statuses of tasks by unary calls. */
  readonly read: (taskIds: readonly string[], signal: AbortSignal) => Promise<readonly ReadResult[]>;
  readonly clock: Clock;
  /** Called when it begins. */
  readonly onOpened: () => void;
  /** Called when it holds nothing any more. */
  readonly onClosed: () => void;
}

const resumeBackoff = { initialMs: 200, maximumMs: 10_000 };
const healthyMs = 60_000;
const briefMs = 1_000;
const attemptsBeforeRead = 3;
const defaultGiveUpAfterMs = 15 * 60_000;
const queueCapacity = 64;

const removalReasons: Readonly<Record<number, RemovalReason>> = {
  [RemovedEvent_Reason.EXPIRED]: "EXPIRED",
  [RemovedEvent_Reason.DELETED]: "DELETED",
};

/** See the head of this file. */
export class ResumingWatch implements Watch {
  readonly #options: ResumingWatchOptions;
  readonly #queue: EventQueue<WatchEvent>;
  readonly #seen: SeenTasks;
  #phase: "new" | "open" | "closed" = "new";
  #token: string;
  #tokenSource: TokenSource;
  #resumedByCaller: boolean;
  #episode: WatchEpisode | undefined;
  #cancelResume: () => void = () => {};
  /** Cuts in a row. */
  #failures = 0;
  /** Attempts in a row that brought no message, and since when. */
  #fruitless = 0;
  #outageSinceMs: number | undefined;
  #reading: AbortController | undefined;

  constructor(options: ResumingWatchOptions) {
    const { request, resumeToken = "" } = options;
    this.#options = options;
    this.#queue = new EventQueue(queueCapacity, () => this.#episode?.resume());
    this.#seen = new SeenTasks(request.selector === undefined ? request.taskIds : undefined);
    this.#token = resumeToken;
    this.#tokenSource = resumeToken === "" ? "none" : "caller";
    this.#resumedByCaller = resumeToken !== "";
  }

  next(): Promise<IteratorResult<WatchEvent, undefined>> {
    if (this.#phase === "new") this.#start();
    return this.#queue.next();
  }

  return(): Promise<IteratorResult<WatchEvent, undefined>> {
    this.#close();
    this.#queue.abort();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** Ends it at once: its reader gets the error, and nothing that was still due. */
  abort(error: Error): void {
    this.#close();
    this.#queue.abort(error);
  }

  #start(): void {
    const { signal } = this.#options;
    this.#phase = "open";
    this.#options.onOpened();
    if (signal?.aborted) return this.#onAbort();
    if (this.#seen.allEnded) return this.#finish();
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#open();
  }

  readonly #onAbort = (): void => this.abort(this.#options.signal?.reason as Error);

  #open(): void {
    const { request, transport, clock } = this.#options;
    this.#episode = new WatchEpisode({
      transport,
      clock,
      request: create(WatchStatusRequestSchema, { ...request, resumeToken: this.#token }),
      onMessage: (message) => this.#onMessage(message),
      onEnd: (end) => this.#onEnd(end),
    });
    this.#episode.start();
  }

  #onMessage({ event, resumeToken }: WatchStatusResponse): void {
    this.#fruitless = 0;
    this.#outageSinceMs = undefined;
    if (resumeToken !== "") {
      this.#token = resumeToken;
      this.#tokenSource = "stream";
    }
    switch (event.case) {
      case "status":
        this.#tellStatus(event.value);
        break;
      case "removed":
        this.#tellRemoval(event.value.taskId, removalReasons[event.value.reason] ?? "UNKNOWN");
        break;
      case "bookmark":
        if (this.#options.bookmarks) {
          this.#queue.push({ kind: "bookmark", revision: Number(event.value.revision), resumeToken: this.#token });
        }
        break;
      default:
    }
    if (this.#seen.allEnded) this.#finish();
    else if (this.#queue.full) this.#episode?.pause();
  }

  #tellStatus({ status: message, snapshot, merged }: Pick<StatusEvent, "status" | "snapshot" | "merged">): void {
    if (message === undefined) return;
    const status = statusFromMessage(message);
    if (this.#seen.isNews(status)) {
      this.#queue.push({ kind: "status", status, snapshot, merged, resumeToken: this.#token });
    }
  }

  #tellRemoval(taskId: string, reason: RemovalReason): void {
    if (!this.#seen.isNewsOfRemoval(taskId)) return;
    this.#queue.push({ kind: "removed", taskId, reason, resumeToken: this.#token });
  }

  #onEnd(end: EpisodeEnd): void {
    this.#episode = undefined;
    const verdict = judgeEnd(end, this.#tokenSource);
    if (verdict.kind === "fail") return this.#fail(verdict.error);
    if (verdict.kind === "reset") this.#reset(verdict.error);
    const livedMs = end.livedMs ?? 0;
    const announced = verdict.kind === "resume";
    this.#fruitless = end.livedMs === undefined ? this.#fruitless + 1 : 0;
    if (livedMs >= healthyMs) this.#failures = 0;
    if (!announced || livedMs < briefMs) this.#failures += 1;
    const backoff = backoffMs(this.#failures, this.#options.clock.random(), resumeBackoff);
    // One who announces the end again and again, as soon as one is back, is not hurried either.
    if (announced) return this.#resumeAfter(verdict.delayMs + (this.#failures > 1 ? backoff : 0), undefined);
    if (end.error === undefined) {
      void this.#readAfterEnd().then(() => this.#resumeAfter(backoff, undefined));
      return;
    }
    if (this.#fruitless >= attemptsBeforeRead) void this.#read();
    this.#resumeAfter(backoff + (verdict.kind === "retry" ? verdict.notBeforeMs : 0), end.error);
  }

  /**
   * The service ends a stream OK when all has been told, and with the caller's token some of it was told before: what has
   * ended, and was never heard of here, is no news then.
   */
  async #readAfterEnd(): Promise<void> {
    await this.#read(({ taskId, state }) => this.#resumedByCaller && isTerminal(state) && !this.#seen.has(taskId));
  }

  #resumeAfter(delayMs: number, error: TaskwatchError | undefined): void {
    if (this.#phase !== "open") return;
    const { clock, onInterrupted, giveUpAfterMs = defaultGiveUpAfterMs } = this.#options;
    this.#outageSinceMs ??= clock.nowMs();
    if (clock.nowMs() + delayMs - this.#outageSinceMs > giveUpAfterMs) {
      const silent = new TaskwatchError("UNAVAILABLE", "stream ended before the watched tasks did");
      return this.#fail(error ?? silent);
    }
    this.#cancelResume = clock.after(delayMs, () => this.#open());
    onInterrupted?.({ error, failures: this.#failures, delayMs });
  }

  #reset(error: TaskwatchError): void {
    this.#seen.reset();
    this.#token = "";
    this.#tokenSource = "none";
    this.#resumedByCaller = false;
    this.#queue.push({ kind: "reset", error });
  }

  /** What cannot be read now will come by the stream, or in a later round. */
  async #read(isKnown: (status: TaskStatus) => boolean = () => false): Promise<void> {
    const { open } = this.#seen;
    if (open === undefined || this.#reading !== undefined) return;
    this.#reading = new AbortController();
    try {
      for (const result of await this.#options.read(open, this.#reading.signal)) this.#tellRead(result, isKnown);
    } catch {
      // Unavailable like the stream, which is tried on.
    }
    this.#reading = undefined;
    if (this.#phase === "open" && this.#seen.allEnded) this.#finish();
  }

  #tellRead({ taskId, status, error }: ReadResult, isKnown: (status: TaskStatus) => boolean): void {
    if (this.#phase !== "open") return;
    const known = status !== undefined && isKnown(status);
    if (status !== undefined && this.#seen.isNews(status) && !known) {
      this.#queue.push({ kind: "status", status, snapshot: true, merged: 0, resumeToken: this.#token });
    }
    if (error?.code !== "NOT_FOUND") return;
    if (error.reason === "TASK_EXPIRED") this.#tellRemoval(taskId, "EXPIRED");
    else if (this.#seen.has(taskId)) this.#tellRemoval(taskId, "UNKNOWN");
    else this.#fail(error);
  }

  /** Everything was told: the stream is over too, or will be in a moment. */
  #finish(): void {
    this.#episode?.release();
    this.#episode = undefined;
    this.#close();
    this.#queue.end();
  }

  #fail(error: Error): void {
    this.#close();
    this.#queue.end(error);
  }

  #close(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#episode?.cancel();
    this.#episode = undefined;
    this.#cancelResume();
    this.#reading?.abort();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#options.onClosed();
  }
}

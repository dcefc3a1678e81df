import { TaskError } from "../task/errors.ts";

/** How to wait. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** After this long the wait fails with STORE_UNAVAILABLE. */
  readonly timeoutMs: number;
}

interface Waiter {
  readonly revision: number;
  readonly deadlineMs: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const maxWaiters = 10_000;
/** How late a wait may find out that it is over. */
const sweepMs = 100;

/** Those who wait until a revision is applied. They share one timer, which runs only while somebody waits. */
export class RevisionWaiters {
  /** Lowest revision first. */
  readonly #waiters: Waiter[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** How many wait. */
  get size(): number {
    return this.#waiters.length;
  }

  /** Resolves with the first `release` of this revision or a later one. Rejects when time is up, or with the signal's reason. */
  async wait(revision: number, { signal, timeoutMs }: WaitOptions): Promise<void> {
    signal?.throwIfAborted();
    if (this.#waiters.length >= maxWaiters) throw unavailable("too many calls wait for the view");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { revision, deadlineMs: performance.now() + timeoutMs, resolve, reject };
    this.#waiters.splice(this.#placeOf(revision), 0, waiter);
    this.#timer ??= setInterval(() => this.#sweep(), sweepMs);
    const onAbort = () => this.#give(waiter, signal?.reason as Error);
    signal?.addEventListener("abort", onAbort);
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Lets those go who wait for `revision` or an earlier one. */
  release(revision: number): void {
    if (this.#waiters.length === 0) return;
    for (const waiter of this.#waiters.splice(0, this.#placeOf(revision))) waiter.resolve();
    this.#rest();
  }

  /** Fails all waits. */
  rejectAll(error: Error): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
    this.#rest();
  }

  /** After the last one who waits for this revision or an earlier one. */
  #placeOf(revision: number): number {
    let low = 0;
    let high = this.#waiters.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#waiters[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const waiter of this.#waiters.filter(({ deadlineMs }) => deadlineMs <= nowMs)) {
      this.#give(waiter, unavailable("the view has not caught up in time"));
    }
  }

  #give(waiter: Waiter, error: Error): void {
    const place = this.#waiters.indexOf(waiter);
    if (place === -1) return;
    this.#waiters.splice(place, 1);
    waiter.reject(error);
    this.#rest();
  }

  #rest(): void {
    if (this.#waiters.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function unavailable(message: string): TaskError {
  return new TaskError("STORE_UNAVAILABLE", message, { retryDelayMs: 1_000 });
}

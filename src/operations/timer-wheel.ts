/** A callback that is due at a time. */
export interface Timer {
  /** Idempotent; harmless when the callback has run. */
  cancel(): void;
}

/** How late a callback may come, beside what the event loop adds. */
const tickMs = 25;

/**
 * Timers for many who wait: one interval for all of them, which runs only while there are any. Setting and cancelling one
 * costs the same however many there are.
 */
export class TimerWheel {
  readonly #slots = new Map<number, Set<() => void>>();
  #interval: NodeJS.Timeout | undefined;
  /** Everything up to this slot has run. */
  #doneSlot = 0;
  #size = 0;

  /** How many callbacks are due some time. */
  get size(): number {
    return this.#size;
  }

  /** Calls back once, after `delayMs` and up to 25 ms more. */
  schedule(delayMs: number, callback: () => void): Timer {
    if (this.#interval === undefined) {
      this.#doneSlot = currentSlot();
      this.#interval = setInterval(() => this.#tick(), tickMs);
    }
    const slot = Math.max(this.#doneSlot + 1, Math.ceil((performance.now() + delayMs) / tickMs));
    let callbacks = this.#slots.get(slot);
    if (callbacks === undefined) this.#slots.set(slot, (callbacks = new Set()));
    const due = callbacks;
    // Its own function, so that one callback may be set twice.
    const run = () => callback();
    due.add(run);
    this.#size += 1;
    return {
      cancel: () => {
        if (!due.delete(run)) return;
        this.#size -= 1;
        if (due.size === 0) this.#slots.delete(slot);
        this.#rest();
      },
    };
  }

  #tick(): void {
    const until = currentSlot();
    while (this.#doneSlot < until) {
      this.#doneSlot += 1;
      const due = this.#slots.get(this.#doneSlot);
      if (due === undefined) continue;
      this.#slots.delete(this.#doneSlot);
      for (const run of due) {
        due.delete(run);
        this.#size -= 1;
        run();
      }
    }
    this.#rest();
  }

  #rest(): void {
    if (this.#size > 0) return;
    clearInterval(this.#interval);
    this.#interval = undefined;
  }
}

function currentSlot(): number {
  return Math.floor(performance.now() / tickMs);
}

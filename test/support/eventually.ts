import { setTimeout as sleep } from "node:timers/promises";

/** How long and how often {@link eventually} looks. */
export interface EventuallyOptions {
  /** Ten seconds by default. */
  readonly timeoutMs?: number;
  /** The pause between two looks; 20 ms by default. */
  readonly intervalMs?: number;
}

/**
 * Looks until something has come true, for what no event announces.
 *
 * @param what completes the sentence "waited for …" of the failure.
 * @param probe gives what was waited for; undefined, false and an exception mean "not yet".
 * @returns what the probe gave.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 10_000, intervalMs = 20 }: EventuallyOptions = {},
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  do {
    try {
      const found = await withinDeadline(probe, deadline);
      if (found !== undefined && found !== false) return found as Exclude<T, undefined | false>;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await sleep(intervalMs);
  } while (performance.now() < deadline);
  const last = cause instanceof Error ? `; last: ${cause.message}` : "";
  throw new Error(`waited ${timeoutMs} ms for ${what}${last}`, { cause });
}

async function withinDeadline<T>(probe: () => T | Promise<T>, deadline: number): Promise<T> {
  const over = new AbortController();
  const remainingMs = Math.max(1, deadline - performance.now());
  const timer = setTimeout(() => over.abort(new Error("the probe did not answer")), remainingMs);
  try {
    return await Promise.race([
      probe(),
      new Promise<never>((_resolve, reject) => {
        over.signal.addEventListener("abort", () => reject(over.signal.reason as Error), { once: true });
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

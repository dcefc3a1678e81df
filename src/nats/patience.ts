import { setTimeout as sleep } from "node:timers/promises";

import { isTransient, OutcomeUnknown, storeUnavailable } from "./errors.ts";

/** How long requests are repeated while a stream elects a leader or a server restarts. */
export const patienceMs = 10_000;

/** How patient to be. */
export interface Patience {
  /** Gives up at once. */
  readonly signal?: AbortSignal | undefined;
  /** Default 10 s. */
  readonly limitMs?: number;
  /** Repeat also what may have landed; for writes that may safely be made twice. */
  readonly retryUnknown?: boolean;
}

/**
 * Repeats a request that may safely be made twice until it is answered, for up to 10 s, with jittered pauses of 50 ms to 1 s.
 *
 * Throws STORE_UNAVAILABLE when patience runs out, and at once whatever is not transient.
 */
export async function withPatience<Answer>(
  request: () => Promise<Answer>,
  { signal, limitMs = patienceMs, retryUnknown = false }: Patience = {},
): Promise<Answer> {
  const deadlineMs = performance.now() + limitMs;
  for (let round = 0; ; round += 1) {
    signal?.throwIfAborted();
    try {
      return await request();
    } catch (error) {
      const unknown = retryUnknown && error instanceof OutcomeUnknown;
      if (!isTransient(error) && !unknown) throw error;
      if (performance.now() >= deadlineMs) throw unknown ? error : storeUnavailable(error);
    }
    const pauseMs = Math.min(1_000, 50 * 2 ** round) * (0.5 + Math.random() / 2);
    await sleep(pauseMs, undefined, signal === undefined ? {} : { signal });
  }
}

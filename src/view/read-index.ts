import { setImmediate as turn } from "node:timers/promises";

import { abortable } from "./abortable.ts";

/** Finds out how new a read has to be. */
export interface ReadIndex {
  /**
   * A revision that is not older than any write acknowledged before the call. Rejects with STORE_UNAVAILABLE when the
   * leader cannot be asked, and with the signal's reason.
   */
  read(signal: AbortSignal): Promise<number>;
}

/**
 * A read index over a leader: one question answers everybody who waits at that moment. Whoever comes while a question is
 * under way waits for the next, because the answer to this one may be older than their call.
 */
export function createReadIndex(lastRevision: () => Promise<number>): ReadIndex {
  const read = shareReads(lastRevision);
  return { read: (signal) => abortable(read(), signal) };
}

function shareReads(read: () => Promise<number>): () => Promise<number> {
  let underWay: Promise<unknown> = Promise.resolve();
  let gathering: Promise<number> | undefined;
  const ask = async (): Promise<number> => {
    // Calls that arrive in one turn of the event loop are not apart in time.
    await Promise.all([turn(), underWay]);
    gathering = undefined;
    const answer = read();
    underWay = answer.catch(() => undefined);
    return answer;
  };
  return () => {
    if (gathering !== undefined) return gathering;
    const asked = ask();
    // Those who wait hear of a failure; they may all have given up.
    asked.catch(() => undefined);
    gathering = asked;
    return asked;
  };
}

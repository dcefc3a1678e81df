import { setImmediate as turn } from "node:timers/promises";

import { abortable } from "./abortable.ts";
import type { View } from "./view.ts";

/** Brings the view up to what is certainly not older than now. */
export interface ReadIndex {
  /**
   * Resolves when every write that was acknowledged before the call is in the view.
   *
   * Rejects with STORE_UNAVAILABLE when the leader cannot be asked, or the view does not catch up within `timeoutMs`, and
   * with the signal's reason.
   */
  catchUp(options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs: number }): Promise<void>;
}

/** What a read index needs. */
export interface ReadIndexOptions {
  readonly view: Pick<View, "waitFor">;
  /** The revision of the last write to the bucket, by its leader. */
  readonly lastRevision: () => Promise<number>;
}

/**
 * A read index over a leader: one question to the leader answers everybody who waits at that moment. Whoever comes while
 * a question is under way waits for the next, because the answer to this one may be older than their call.
 */
export function createReadIndex({ view, lastRevision }: ReadIndexOptions): ReadIndex {
  const shared = shareReads(lastRevision);
  return {
    async catchUp({ signal, timeoutMs }) {
      const revision = await abortable(shared(), signal);
      await view.waitFor(revision, { signal, timeoutMs });
    },
  };
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
  return () => (gathering ??= ask());
}

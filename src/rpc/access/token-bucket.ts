/** Lets so many things happen per second, and a few more at once. */
export interface TokenBucket {
  /**
   * Takes `tokens` (1) if there is at least one; otherwise says in how many ms there will be. What is taken beyond what is
   * there is owed, so a batch that is larger than the bucket passes once and is then paid off.
   */
  take(nowMs: number, tokens?: number): number | undefined;
}

/** A full bucket. */
export function createTokenBucket(rate: { readonly perSecond: number; readonly burst: number }): TokenBucket {
  const { perSecond, burst } = rate;
  let level = burst;
  let filledMs: number | undefined;
  return {
    take(nowMs, tokens = 1) {
      const elapsedMs = Math.max(0, nowMs - (filledMs ?? nowMs));
      level = Math.min(burst, level + (elapsedMs / 1_000) * perSecond);
      filledMs = nowMs;
      const missing = 1 - level - tolerance;
      if (missing > 0) return Math.ceil((missing / perSecond) * 1_000);
      level -= tokens;
      return undefined;
    },
  };
}

/** What adding up fractions may lose. */
const tolerance = 1e-6;

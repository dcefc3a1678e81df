/** Waits for `work`, but no longer than `graceMs`. Says whether it was done in time. */
export async function raceGrace(work: Promise<unknown>, graceMs: number): Promise<boolean> {
  const { promise: over, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), graceMs);
  try {
    return await Promise.race([work.then(() => true), over]);
  } finally {
    clearTimeout(timer);
  }
}

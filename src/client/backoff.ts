/** How waits grow from failure to failure. */
export interface BackoffOptions {
  /** The longest first wait. */
  readonly initialMs: number;
  /** The longest wait of all. */
  readonly maximumMs: number;
}

/**
 * The wait after the given number of failures in a row, drawn evenly between nothing and the smaller of `maximumMs` and
 * `initialMs` × 2^(failures - 1), so that clients which were cut off together do not return together.
 *
 * `random` is in [0, 1).
 */
export function backoffMs(failures: number, random: number, { initialMs, maximumMs }: BackoffOptions): number {
  // From 2^30 on the maximum has long been reached, and the power stays finite.
  const ceilingMs = Math.min(maximumMs, initialMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return random * ceilingMs;
}

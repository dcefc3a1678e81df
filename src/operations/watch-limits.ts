/** How watches behave; every field has a default. */
export interface WatchLimits {
  /** The mean time between bookmarks. Default 10 s. */
  readonly bookmarkMs: number;
  /** When a watch is told to go away, give or take a tenth. Default 30 min. */
  readonly maxAgeMs: number;
  /** How many bytes of statuses may be due to a slow reader. Default 8 MiB. */
  readonly maxDueBytes: number;
  /** How long all that is due may be left where it is. Default 60 s. */
  readonly maxStallMs: number;
}

/** What holds where nothing else is said. */
export const defaultWatchLimits: WatchLimits = {
  bookmarkMs: 10_000,
  maxAgeMs: 30 * 60_000,
  maxDueBytes: 8 * 1024 * 1024,
  maxStallMs: 60_000,
};

/** The time until the next bookmark, drawn so that those of many watches spread by themselves. */
export function bookmarkPauseMs({ bookmarkMs }: WatchLimits): number {
  return bookmarkMs * (0.8 + Math.random() * 0.4);
}

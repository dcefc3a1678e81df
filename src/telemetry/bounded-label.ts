import { overflowLabel } from "./label-values.ts";

/** Turns any value into one of a bounded number of values of a label. */
export interface BoundedLabel {
  /** The value itself, if it is or now becomes one of those told apart; else `other`. */
  admit(value: string): string;
  /** The value itself, if it is one of those told apart already; else `other`. Never makes room for a new one. */
  known(value: string): string;
}

/**
 * Keeps a label from taking more than `limit` values, first come first served, so that no caller can make the number of
 * time series grow without end.
 */
export function createBoundedLabel(limit: number): BoundedLabel {
  const values = new Set<string>();
  return {
    admit(value) {
      if (values.has(value)) return value;
      if (values.size >= limit) return overflowLabel;
      values.add(value);
      return value;
    },
    known: (value) => (values.has(value) ? value : overflowLabel),
  };
}

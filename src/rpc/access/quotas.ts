import { TaskError } from "../../task/errors.ts";
import type { Principal } from "./principals.ts";
import { createTokenBucket, type TokenBucket } from "./token-bucket.ts";

/** What one principal may ask of this process. Whatever is unset is unlimited. */
export interface QuotaOptions {
  /** Calls per second. A SubmitTasks call counts once for each task. */
  readonly callsPerSecond?: number | undefined;
  /** How many calls may come at once; `callsPerSecond` if unset. */
  readonly burst?: number | undefined;
  /** Calls under way at one time, watches left out. */
  readonly callsInFlight?: number | undefined;
}

/** Holds principals to their quotas. */
export interface Quotas {
  /** Throws RATE_LIMITED if the principal must wait. */
  charge(principal: Principal, nowMs: number): void;
  /** Charges for the rest of a batch, of which one was charged already. Never refuses; the next call waits for it. */
  chargeMore(principal: Principal, calls: number, nowMs: number): void;
  /** Begins a call; returns its end. Throws RATE_LIMITED if too many are under way. */
  begin(principal: Principal): () => void;
}

/** Makes the quotas of one process: what calls they let in, no other process knows. */
export function createQuotas({ callsPerSecond, burst, callsInFlight }: QuotaOptions): Quotas {
  if (callsPerSecond === undefined && callsInFlight === undefined) return noQuotas;
  // Grows no further than there are names in the file of API keys.
  const states = new Map<string, State>();
  const stateOf = (principal: Principal): State => {
    const name = quotaName(principal);
    let state = states.get(name);
    if (state === undefined) {
      const bucket =
        callsPerSecond === undefined
          ? undefined
          : createTokenBucket({ perSecond: callsPerSecond, burst: burst ?? Math.max(1, callsPerSecond) });
      state = { bucket, inFlight: 0 };
      states.set(name, state);
    }
    return state;
  };
  return {
    charge(principal, nowMs) {
      const delayMs = stateOf(principal).bucket?.take(nowMs);
      if (delayMs !== undefined) throw limited(`more than ${callsPerSecond ?? 0} calls per second`, delayMs);
    },
    chargeMore(principal, calls, nowMs) {
      if (calls > 0) stateOf(principal).bucket?.take(nowMs, calls);
    },
    begin(principal) {
      if (callsInFlight === undefined) return () => {};
      const state = stateOf(principal);
      if (state.inFlight >= callsInFlight) throw limited(`more than ${callsInFlight} calls under way`, inFlightDelayMs);
      state.inFlight += 1;
      return () => {
        state.inFlight -= 1;
      };
    },
  };
}

const noQuotas: Quotas = { charge: () => {}, chargeMore: () => {}, begin: () => () => {} };

/** What keys of one principal share, so that a key can be replaced without a second allowance. */
export function quotaName({ namespace, name }: Principal): string {
  return `${namespace}/${name}`;
}

/** A guess: most calls are over by then. */
const inFlightDelayMs = 100;

interface State {
  readonly bucket: TokenBucket | undefined;
  inFlight: number;
}

function limited(message: string, retryDelayMs: number): TaskError {
  return new TaskError("RATE_LIMITED", message, { retryDelayMs });
}

import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";

import { backoffMs } from "./backoff.ts";
import { type Clock, sleep } from "./clock.ts";
import { TaskwatchError } from "./taskwatch-error.ts";
import type { Transport } from "./transport.ts";

/** How patiently calls are made. */
export interface CallPolicy {
  readonly clock: Clock;
  /** How long the answer to one call is waited for, in ms. */
  readonly timeoutMs: number;
  /** How long after the first call it may still be repeated, in ms. */
  readonly retryBudgetMs: number;
}

/** Unary calls, repeated while the service is unavailable or does not answer in time. */
export interface Caller {
  call<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    request: MessageShape<Input>,
    options?: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number },
  ): Promise<MessageShape<Output>>;
}

const callBackoff = { initialMs: 100, maximumMs: 2_000 };

/** A caller over `transport`. Only what may safely be done twice may be called through it. */
export function createCaller(transport: Transport, policy: CallPolicy): Caller {
  const { clock } = policy;
  return {
    call: async (method, request, { signal, timeoutMs = policy.timeoutMs } = {}) => {
      const giveUpAtMs = clock.nowMs() + policy.retryBudgetMs;
      for (let failures = 1; ; failures += 1) {
        try {
          return await transport.unary(method, request, { timeoutMs, signal });
        } catch (error) {
          const pauseMs = pauseBeforeRepeat(error, failures, clock.random());
          if (pauseMs === undefined || clock.nowMs() + pauseMs > giveUpAtMs) throw error;
          await sleep(clock, pauseMs, signal);
        }
      }
    },
  };
}

/**
 * How long to wait before a call that failed is repeated; undefined if it must not be. UNAVAILABLE and DEADLINE_EXCEEDED are
 * repeated, with full jitter, and never before the service says that it makes sense. After either the call may have been
 * carried out all the same: this is for calls that may safely be made twice.
 */
export function pauseBeforeRepeat(error: unknown, failures: number, random: number): number | undefined {
  if (!(error instanceof TaskwatchError)) return undefined;
  if (error.code !== "UNAVAILABLE" && error.code !== "DEADLINE_EXCEEDED") return undefined;
  return (error.retryDelayMs ?? 0) + backoffMs(failures, random, callBackoff);
}

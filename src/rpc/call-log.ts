import type { TaskError } from "../task/errors.ts";
import { createTokenBucket } from "./access/token-bucket.ts";
import type { RpcLogger, RpcName } from "./observer.ts";

/** Writes a line for each call that failed. */
export interface CallLog {
  failed(call: RpcName & { readonly principal?: string | undefined; readonly seconds: number }, error: TaskError): void;
}

/**
 * Logs what is ours to look at as errors, what the world did as warnings, and what callers did wrong for debugging only. Of
 * the first two no more than `linesPerSecond`: an outage makes thousands of the same.
 */
export function createCallLog(logger: RpcLogger): CallLog {
  const bucket = createTokenBucket({ perSecond: linesPerSecond, burst: linesPerSecond });
  let suppressed = 0;
  return {
    failed({ protocol, service, method, principal, seconds }, error) {
      const fields = { protocol, service, method, principal, seconds, reason: error.reason };
      if (error.blame === "caller") return logger.debug("call refused", fields);
      if (bucket.take(performance.now()) !== undefined) {
        suppressed += 1;
        return;
      }
      const line = { ...fields, error, ...(suppressed === 0 ? {} : { suppressed }) };
      suppressed = 0;
      if (error.blame === "us") logger.error("call failed", line);
      else logger.warn("call failed", line);
    },
  };
}

const linesPerSecond = 20;

import { create } from "@bufbuild/protobuf";

import { type AttemptError, AttemptErrorSchema, type Content } from "../../gen/taskwatch/v1/task_pb.ts";
import { CancelledError, FatalError, RetryableError } from "../handler/handler-errors.ts";
import { cutToBytes, oneLine } from "./bounded-text.ts";
import { contentFromResult, UnusableResult } from "./content.ts";

const maxMessageBytes = 2_048;
const maxDetails = 16;
const maxDetailBytes = 4_096;
const maxRetryDelayMs = 7 * 86_400_000;
const codePattern = /^[A-Z][A-Z0-9_]{0,63}$/;

/** How a handler ended. */
export type Settlement =
  | { readonly kind: "returned"; readonly result: Content | undefined }
  | { readonly kind: "failed"; readonly error: AttemptError; readonly retryDelayMs?: number | undefined }
  | { readonly kind: "cancelled"; readonly message: string };

/** What became of a handler that returned. What it returned may turn out to be impossible to store. */
export function settlementFromReturn(value: unknown): Settlement {
  try {
    return { kind: "returned", result: contentFromResult(value) };
  } catch (error) {
    if (error instanceof UnusableResult) return failure(error.code, error.message, false);
    return failure("INVALID_RESULT", `result could not be read: ${describe(error)}`, false);
  }
}

/** What became of a handler that threw, whatever it threw. Never throws. */
export function settlementFromThrow(thrown: unknown): Settlement {
  try {
    if (thrown instanceof CancelledError) {
      return { kind: "cancelled", message: oneLine(cutToBytes(thrown.message, maxMessageBytes)) };
    }
    if (thrown instanceof FatalError) return failure(thrown.code, thrown.message, false, thrown.details);
    if (thrown instanceof RetryableError) {
      const { retryDelayMs } = thrown;
      const settlement = failure(thrown.code, thrown.message, true, thrown.details);
      return retryDelayMs === undefined || Number.isNaN(retryDelayMs)
        ? settlement
        : { ...settlement, retryDelayMs: Math.min(maxRetryDelayMs, Math.max(0, retryDelayMs)) };
    }
  } catch {
    // One of ours with something in it that it must not hold: as good as anything else that is thrown.
  }
  return failure("HANDLER_ERROR", describe(thrown), !(thrown instanceof FatalError));
}

/** A failure that the worker found itself. */
export function failure(
  code: string,
  message: string,
  retryable: boolean,
  details: Readonly<Record<string, unknown>> = {},
): Extract<Settlement, { kind: "failed" }> {
  const error = create(AttemptErrorSchema, {
    code: codeFrom(code),
    message: oneLine(cutToBytes(message, maxMessageBytes)),
    retryable,
    details: boundedDetails(details),
  });
  return { kind: "failed", error };
}

/** The code if it is one, what it may have been meant to be, or HANDLER_ERROR. */
function codeFrom(code: string): string {
  if (codePattern.test(code)) return code;
  const mended = code
    .replaceAll(/[^A-Za-z0-9]+/g, "_")
    .toUpperCase()
    .slice(0, 64);
  return codePattern.test(mended) ? mended : "HANDLER_ERROR";
}

function boundedDetails(details: Readonly<Record<string, unknown>>): Record<string, string> {
  const kept: Record<string, string> = {};
  let leftBytes = maxDetailBytes;
  for (const [name, value] of Object.entries(details).slice(0, maxDetails)) {
    const text = String(value).toWellFormed();
    const entryBytes = Buffer.byteLength(name) + Buffer.byteLength(text);
    if (entryBytes > leftBytes || name === "__proto__") continue;
    leftBytes -= entryBytes;
    kept[name.toWellFormed()] = text;
  }
  return kept;
}

/** Says in words what was thrown. It may be anything, down to an object whose every property throws. */
function describe(thrown: unknown): string {
  try {
    if (thrown instanceof Error) {
      const { name, message } = thrown;
      return (name === "Error" ? [message] : [name, message]).join(": ");
    }
    if (typeof thrown === "string") return thrown;
    if (typeof thrown === "object" && thrown !== null) return `threw ${JSON.stringify(thrown)}`;
    return `threw ${String(thrown)}`;
  } catch {
    return "threw something that cannot be described";
  }
}

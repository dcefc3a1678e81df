import type { TaskwatchError } from "../taskwatch-error.ts";
import type { EpisodeEnd } from "./watch-episode.ts";

/** Where the token comes from with which a watch would continue. */
export type TokenSource = "none" | "caller" | "stream";

/**
 * What a watch does next whose tasks have not all ended:
 *
 * - `resume`: the server announced the end; continue after its delay;
 * - `retry`: the stream was cut; continue after a backoff, and not before `notBeforeMs`;
 * - `reset`: what the token stands for is no more; start over without it;
 * - `fail`: repeating would not help.
 */
export type Verdict =
  | { readonly kind: "resume"; readonly delayMs: number }
  | { readonly kind: "retry"; readonly notBeforeMs: number }
  | { readonly kind: "reset"; readonly error: TaskwatchError }
  | { readonly kind: "fail"; readonly error: TaskwatchError };

/** The longest delay that is taken from a server. */
const maxResumeDelayMs = 60_000;

/** Judges the end of a stream after which the watch holds a token from `token`. */
export function judgeEnd({ error, resumeDelayMs }: EpisodeEnd, token: TokenSource): Verdict {
  if (resumeDelayMs !== undefined) return { kind: "resume", delayMs: Math.min(resumeDelayMs, maxResumeDelayMs) };
  if (error === undefined) return { kind: "retry", notBeforeMs: 0 };
  if (token !== "none" && (error.code === "DATA_LOSS" || error.code === "OUT_OF_RANGE"))
    return { kind: "reset", error };
  // A token that the service gave out itself and now refuses is as good as none; the caller's own may be a mistake.
  if (token === "stream" && error.reason === "RESUME_TOKEN_INVALID") return { kind: "reset", error };
  if (isCut(error, token)) return { kind: "retry", notBeforeMs: error.retryDelayMs ?? 0 };
  return { kind: "fail", error };
}

function isCut({ code, reason }: TaskwatchError, token: TokenSource): boolean {
  switch (code) {
    case "UNAVAILABLE":
      return true;
    case "RESOURCE_EXHAUSTED":
      // Once it had its place, it had one: the service may only not have noticed yet that the last stream is gone.
      return reason === undefined || reason === "SLOW_READER" || token === "stream";
    case "CANCELLED":
    case "UNKNOWN":
    case "INTERNAL":
    case "DEADLINE_EXCEEDED":
      // The service gives a reason with each error: this one comes from the connection, or from a proxy.
      return reason === undefined;
    default:
      return false;
  }
}

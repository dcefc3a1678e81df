import { describe, expect, it } from "vitest";

import { TaskwatchError } from "../../../src/client/index.ts";
import type { StatusCode } from "../../../src/client/index.ts";
import { judgeEnd, type TokenSource } from "../../../src/client/watch/watch-verdict.ts";

const judge = (code: StatusCode, reason: string | undefined, token: TokenSource) =>
  judgeEnd({ error: new TaskwatchError(code, "", { reason }), resumeDelayMs: undefined, livedMs: 0 }, token).kind;

describe("what a watch does next", () => {
  it.each([
    ["UNAVAILABLE", undefined, "none", "retry"],
    ["UNAVAILABLE", "DRAINING", "none", "retry"],
    // What becomes of a stream that the service resets because its reader is too slow.
    ["RESOURCE_EXHAUSTED", undefined, "none", "retry"],
    ["RESOURCE_EXHAUSTED", "SLOW_READER", "none", "retry"],
    ["RESOURCE_EXHAUSTED", "WATCH_LIMIT_REACHED", "none", "fail"],
    ["RESOURCE_EXHAUSTED", "WATCH_LIMIT_REACHED", "caller", "fail"],
    ["RESOURCE_EXHAUSTED", "WATCH_LIMIT_REACHED", "stream", "retry"],
    ["CANCELLED", undefined, "none", "retry"],
    ["UNKNOWN", undefined, "none", "retry"],
    ["INTERNAL", undefined, "none", "retry"],
    ["INTERNAL", "INTERNAL", "stream", "fail"],
    ["DEADLINE_EXCEEDED", undefined, "none", "retry"],
    ["DATA_LOSS", "STORE_REPLACED", "none", "fail"],
    ["DATA_LOSS", "STORE_REPLACED", "caller", "reset"],
    ["OUT_OF_RANGE", "WINDOW_PASSED", "stream", "reset"],
    ["INVALID_ARGUMENT", "RESUME_TOKEN_INVALID", "stream", "reset"],
    ["INVALID_ARGUMENT", "RESUME_TOKEN_INVALID", "caller", "fail"],
    ["INVALID_ARGUMENT", "REQUEST_INVALID", "stream", "fail"],
    ["NOT_FOUND", "TASK_NOT_FOUND", "none", "fail"],
    ["UNAUTHENTICATED", "CREDENTIAL_INVALID", "stream", "fail"],
    ["UNIMPLEMENTED", undefined, "none", "fail"],
  ] as const)("after %s (%s) with a token from %s is to %s", (code, reason, token, kind) => {
    expect(judge(code, reason, token)).toBe(kind);
  });

  it("takes a bounded delay from a service that goes away", () => {
    const resume = (resumeDelayMs: number) => judgeEnd({ error: undefined, resumeDelayMs, livedMs: 0 }, "stream");
    expect(resume(1_500)).toEqual({ kind: "resume", delayMs: 1_500 });
    expect(resume(1e9)).toEqual({ kind: "resume", delayMs: 60_000 });
  });
});

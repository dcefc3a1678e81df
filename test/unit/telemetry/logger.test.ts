import { expect, test } from "vitest";

import { createLogger, type LogLevel } from "../../../src/telemetry/logger.ts";
import { createRecordingLogger } from "../../support/recording-logger.ts";

function aLogger(level: LogLevel = "debug") {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  return { lines, logger: createLogger({ level, fields: { version: "1.2.3" }, destination }) };
}

test("a line is one JSON object with time, level, message and fields", () => {
  const { lines, logger } = aLogger();
  logger.info("task ended", { queue: "demo", attempt: 2, revision: 12n });
  expect(lines).toEqual([
    {
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      version: "1.2.3",
      message: "task ended",
      queue: "demo",
      attempt: 2,
      revision: 12,
    },
  ]);
});

test("a child adds its fields to every line, and its own children theirs", () => {
  const { lines, logger } = aLogger();
  logger.child({ queue: "demo" }).child({ taskId: "demo_1" }).warn("lease lost");
  expect(lines[0]).toMatchObject({ level: "warn", queue: "demo", taskId: "demo_1", message: "lease lost" });
});

test.each([
  ["info", ["info", "warn", "error"]],
  ["error", ["error"]],
  ["silent", []],
] as const)("level %s writes %j", (level, expected) => {
  const { lines, logger } = aLogger(level);
  logger.debug("a");
  logger.info("a");
  logger.warn("a");
  logger.error("a");
  expect(lines.map((line) => line["level"])).toEqual(expected);
});

test("content and credentials are blanked, at the top and one level down", () => {
  const { lines, logger } = aLogger();
  logger.info("a", {
    payload: "s3cret",
    headers: { authorization: "s3cret" },
    task: { result: "s3cret", payload: { deep: "s3cret" } },
    call: { authorization: "s3cret", token: "s3cret" },
    apiKey: "s3cret",
  });
  expect(JSON.stringify(lines)).not.toContain("s3cret");
});

test("an error is described by name, code, message, stack and cause, and by nothing else it carries", () => {
  const { lines, logger } = aLogger();
  const cause = Object.assign(new TypeError("inner"), { payload: "s3cret", code: 10071 });
  const error = Object.assign(new Error("outer", { cause }), { reason: "STORE_UNAVAILABLE", request: "s3cret" });
  logger.error("a", { error });
  expect(lines[0]?.["error"]).toMatchObject({
    name: "Error",
    message: "outer",
    reason: "STORE_UNAVAILABLE",
    stack: expect.stringContaining("logger.test.ts"),
    cause: { name: "TypeError", message: "inner", code: 10071 },
  });
  expect(JSON.stringify(lines)).not.toContain("s3cret");
});

test("errors that cause one another, huge ones and things that are no errors make one bounded line", () => {
  const { lines, logger } = aLogger();
  const [a, b] = [new Error("x".repeat(1_000_000)), new Error("b")];
  a.cause = b;
  b.cause = a;
  logger.error("a", { error: a });
  logger.error("b", { error: "a thrown string" });
  expect(JSON.stringify(lines[0]).length).toBeLessThan(50_000);
  expect(lines[1]?.["error"]).toEqual({ name: "string" });
});

test("the recording logger keeps lines of children with all their fields", () => {
  const logger = createRecordingLogger();
  logger.child({ queue: "demo" }).info("task ended", { attempt: 1 });
  expect(logger.lines).toEqual([{ level: "info", message: "task ended", fields: { queue: "demo", attempt: 1 } }]);
});

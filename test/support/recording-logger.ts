import type { LogFields, Logger } from "../../src/telemetry/logger.ts";

/** One recorded line. */
export interface RecordedLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: LogFields;
}

/** A logger that keeps its lines, and those of its children, in order. */
export interface RecordingLogger extends Logger {
  readonly lines: readonly RecordedLine[];
}

/** Makes a logger for tests that look at what was logged. */
export function createRecordingLogger(): RecordingLogger {
  const lines: RecordedLine[] = [];
  return { ...recorder(lines, {}), lines };
}

function recorder(lines: RecordedLine[], bound: LogFields): Logger {
  const record =
    (level: RecordedLine["level"]) =>
    (message: string, fields: LogFields = {}): void => {
      lines.push({ level, message, fields: { ...bound, ...fields } });
    };
  return {
    debug: record("debug"),
    info: record("info"),
    warn: record("warn"),
    error: record("error"),
    child: (fields) => recorder(lines, { ...bound, ...fields }),
  };
}

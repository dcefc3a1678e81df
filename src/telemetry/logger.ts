import { type DestinationStream, pino } from "pino";

/** What a log line says besides its message. Never a payload, a result, or a credential. */
export type LogFields = Readonly<Record<string, unknown>>;

/** The least severe lines that are logged. Nothing here writes the outermost two; they stand for "more" and "less". */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

/**
 * Writes log lines. A message is a constant sentence in lower case, so that it can be searched for and counted; what
 * varies goes into fields. A caught error goes into the field `error`.
 */
export interface Logger {
  /** For finding out how something came about. */
  debug(message: string, fields?: LogFields): void;
  /** For what happens in the normal course of things and is worth a line. */
  info(message: string, fields?: LogFields): void;
  /** For what went wrong and was dealt with. */
  warn(message: string, fields?: LogFields): void;
  /** For what a human must look at. */
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to every line. */
  child(fields: LogFields): Logger;
}

/** What `createLogger` needs. */
export interface LoggerOptions {
  readonly level: LogLevel;
  /** Fields of every line, such as the version. */
  readonly fields?: LogFields;
  /** Where lines go; standard output if unset. */
  readonly destination?: DestinationStream;
}

/**
 * Makes a logger that writes one JSON object a line, with `time` (ISO 8601), `level` and `message`.
 *
 * Lines are written at once and in order, so that the last one before a crash is there. Fields that could hold content
 * or credentials are blanked by name, should one ever be passed by mistake, up to one level deep.
 */
export function createLogger({ level, fields = {}, destination }: LoggerOptions): Logger {
  const options = {
    level,
    base: fields,
    messageKey: "message",
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: describeError },
    redact: { paths: secretFields.flatMap((name) => [name, `*.${name}`]), censor: "[redacted]" },
  };
  return wrap(destination === undefined ? pino(options) : pino(options, destination));
}

const secretFields = [
  "payload",
  "result",
  "content",
  "data",
  "body",
  "headers",
  "authorization",
  "password",
  "secret",
  "token",
  "apiKey",
  "resumeToken",
  "pageToken",
];

type Line = (fields: LogFields, message: string) => void;

/** The part of the library's logger that is used. */
interface Sink extends Record<"debug" | "info" | "warn" | "error", Line> {
  child(fields: LogFields): Sink;
}

function wrap(sink: Sink): Logger {
  return {
    debug: (message, fields = {}) => sink.debug(fields, message),
    info: (message, fields = {}) => sink.info(fields, message),
    warn: (message, fields = {}) => sink.warn(fields, message),
    error: (message, fields = {}) => sink.error(fields, message),
    child: (fields) => wrap(sink.child(fields)),
  };
}

const maxErrorDepth = 4;
const maxErrorTextLength = 4_096;

/** Only what is known to be an error's own: other properties may hold anything. */
function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return { name: typeof error };
  const { reason, code } = error as { readonly reason?: unknown; readonly code?: unknown };
  return {
    name: error.name,
    message: error.message.slice(0, maxErrorTextLength),
    ...(typeof reason === "string" ? { reason } : {}),
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    stack: error.stack?.slice(0, maxErrorTextLength),
    ...(error.cause === undefined || depth >= maxErrorDepth ? {} : { cause: describeError(error.cause, depth + 1) }),
  };
}

import type { WorkerLogger } from "../../worker/index.ts";
import type { Io } from "../io.ts";
import { plainText } from "../screen/screen-text.ts";
import { type Accent, styleOf } from "../screen/style.ts";

const levels = ["trace", "debug", "info", "warn", "error", "silent"] as const;
const accents: Readonly<Record<string, Accent>> = { debug: "faint", info: "good", warn: "waiting", error: "bad" };

/** Log lines on standard output: for people on a terminal, else one JSON object a line. TASKWATCH_LOG_LEVEL sets the least. */
export function workerLog(io: Io): WorkerLogger {
  const wanted = levels.indexOf((io.environment["TASKWATCH_LOG_LEVEL"] ?? "info") as (typeof levels)[number]);
  const least = wanted === -1 ? levels.indexOf("info") : wanted;
  const writer =
    (level: (typeof levels)[number]) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      if (levels.indexOf(level) < least) return;
      const time = new Date().toISOString();
      const line = io.out.isTerminal
        ? readableLine(io, { time, level, message, fields })
        : JSON.stringify({ time, level, message, ...fields }, describe);
      io.out.write(`${line}\n`);
    };
  return { debug: writer("debug"), info: writer("info"), warn: writer("warn"), error: writer("error") };
}

interface Entry {
  readonly time: string;
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function readableLine(io: Io, { time, level, message, fields }: Entry): string {
  const style = styleOf(io.out, io);
  const facts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value, describe)}`);
  const accent = accents[level] ?? "faint";
  const head = `${style("faint", time.slice(11, 19))} ${style(accent, level.padEnd(5))} ${plainText(message)}`;
  return facts.length === 0 ? head : `${head}  ${style("faint", plainText(facts.join(" ")))}`;
}

function describe(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? value.message;
  return typeof value === "bigint" ? String(value) : value;
}

import { readFile } from "node:fs/promises";

import { InvalidArgumentError } from "commander";

import { UsageError } from "../cli-errors.ts";
import { parseDuration } from "../duration.ts";
import type { Io } from "../io.ts";

/** A duration, in ms. */
export function durationValue(text: string): number {
  return complain(() => parseDuration(text));
}

/** A whole number of at least one. */
export function countValue(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("write a whole number from 1.");
}

/** A point in time: a duration from now, or a date such as `2030-01-31T12:00:00Z`. */
export function timeValue(text: string): Date {
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    const time = new Date(text);
    if (!Number.isNaN(time.getTime())) return time;
    throw new InvalidArgumentError("write a date such as 2030-01-31T12:00:00Z.");
  }
  return new Date(Date.now() + durationValue(text));
}

/** One more `name=value`. */
export function labelValue(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [name = "", ...rest] = text.split("=");
  if (name === "" || rest.length === 0) throw new InvalidArgumentError("write name=value.");
  return { ...before, [name]: rest.join("=") };
}

/** One more of a list; several may be written at once, separated by commas. */
export function listValue(text: string, before: readonly string[] = []): string[] {
  return [...before, ...text.split(",").filter((item) => item !== "")];
}

/** One of a closed set, in any case; the set in upper case. */
export function choiceValue<Choice extends string>(text: string, choices: readonly Choice[]): Choice {
  const found = choices.find((choice) => choice === text.toUpperCase());
  if (found !== undefined) return found;
  throw new InvalidArgumentError(`write one of ${choices.map((choice) => choice.toLowerCase()).join(", ")}.`);
}

/** What is in a file, or comes on standard input for `-`. */
export async function readSource(path: string, io: Io): Promise<Uint8Array> {
  if (path === "-") return io.readInput();
  try {
    return await readFile(path);
  } catch (error) {
    throw new UsageError(`cannot read ${path}`, { cause: error });
  }
}

/** Text as JSON. `what` completes "… is not JSON". */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UsageError(`${what} is not JSON: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function complain<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw error instanceof UsageError ? new InvalidArgumentError(`${error.message}.`) : error;
  }
}

import { TaskwatchError } from "../../client/taskwatch-error.ts";
import { UsageError } from "../cli-errors.ts";
import { formatDuration } from "../duration.ts";
import { plainText } from "./screen-text.ts";
import type { Style } from "./style.ts";

/** Says what went wrong, in one block: what, why, which field broke which rule, and what may help. */
export function reportError(error: unknown, address: string, style: Style): string {
  const lines = [`${style("bad", "error:")} ${plainText(messageOf(error))}`];
  if (error instanceof TaskwatchError) {
    for (const [name, value] of factsOf(error)) lines.push(`  ${style("faint", name.padEnd(12))}${plainText(value)}`);
    const hint = hintFor(error, address);
    if (hint !== undefined) lines.push(`  ${hint}`);
  } else if (error instanceof UsageError) {
    lines.push("  --help shows how it is used");
  }
  return lines.map((line) => `${line}\n`).join("");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function factsOf(error: TaskwatchError): [name: string, value: string][] {
  const { code, reason, fields, metadata, retryDelayMs } = error;
  const facts: [string, string][] = [["reason", reason === undefined ? code : `${reason} (${code})`]];
  for (const { field, description, rule } of fields) {
    facts.push(["field", field === "" ? "(the request as a whole)" : field]);
    facts.push(["rule", rule === "" ? description : `${rule}: ${description}`]);
  }
  for (const [name, value] of Object.entries(metadata)) facts.push([name.replaceAll("_", " "), value]);
  if (retryDelayMs !== undefined) facts.push(["retry in", formatDuration(retryDelayMs)]);
  return facts.map(([name, value]) => [`${name} `, value]);
}

function hintFor({ code, reason }: TaskwatchError, address: string): string | undefined {
  if (reason === "CREDENTIAL_MISSING") return "set TASKWATCH_API_KEY to an API key";
  if (reason !== undefined) return undefined;
  if (code === "UNAVAILABLE")
    return `nothing answers at ${address}: is the service running? --address says where it is`;
  return undefined;
}

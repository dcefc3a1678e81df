import { readFile } from "node:fs/promises";

import { settings } from "../../src/config.ts";
import type { TaskOperations } from "../../src/operations/operations.ts";
import { codeOfReason } from "../../src/rpc/answers/errors.ts";
import { createApiService } from "../../src/rpc/api-service.ts";
import { methods } from "../../src/rpc/methods.ts";
import { createRequestValidator } from "../../src/rpc/validation.ts";
import { type Reason, reasons } from "../../src/task/errors.ts";
import { catalogue, type MetricDefinition } from "../../src/telemetry/catalogue.ts";
import { grpcCodes } from "../../src/telemetry/label-values.ts";

/** The tables of the README, as the code has them, by the name of their marker. */
export async function readmeTables(): Promise<Record<string, string>> {
  return {
    api: await apiTable(),
    errors: table(["reason", "code", "meaning"], errorRows()),
    configuration: table(
      ["variable", "default", "meaning"],
      Object.values(settings).map(({ name, fallback, description }) => [
        `\`${name}\``,
        fallback === "" ? "" : `\`${fallback}\``,
        description,
      ]),
    ),
    metrics: table(["metric", "kind", "labels", "process", "meaning"], metricRows()),
  };
}

/** The text between the markers of a name. */
export function markedPart(text: string, name: string): string {
  const found = new RegExp(`<!-- ${name} -->([\\s\\S]*?)<!-- /${name} -->`).exec(text);
  if (found === null) throw new Error(`README has no part marked ${name}`);
  return (found[1] ?? "").trim();
}

/** The text with another part between the markers of a name. */
export function withMarkedPart(text: string, name: string, part: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  return `${text.slice(0, text.indexOf(open) + open.length)}\n\n${part}\n\n${text.slice(text.indexOf(close))}`;
}

async function apiTable(): Promise<string> {
  const sources = await Promise.all(
    ["task_service", "queue_service"].map((name) =>
      readFile(new URL(`../../proto/taskwatch/v1/${name}.proto`, import.meta.url), "utf8"),
    ),
  );
  // Nothing of it is called.
  const service = createApiService({} as TaskOperations, createRequestValidator());
  const rows = methods.map(({ desc, roles, streaming }) => [
    `${desc.parent.name}.${desc.name}${service.has(desc) ? "" : " (not yet)"}`,
    roles.join(" or "),
    firstSentence(sources.join("\n"), desc.name) + (streaming ? " A stream." : ""),
  ]);
  return table(["method", "role", "what it does"], rows);
}

function firstSentence(source: string, method: string): string {
  const lines = source.split("\n");
  const at = lines.findIndex((line) => line.trim().startsWith(`rpc ${method}(`));
  let from = at;
  while (lines[from - 1]?.trim().startsWith("//")) from -= 1;
  const comment = lines.slice(from, at).map((line) => line.trim().replace(/^\/\/ ?/, ""));
  return /^(.*?\.)( |$)/.exec(comment.join(" "))?.[1] ?? "";
}

function errorRows(): string[][] {
  return Object.entries(reasons).map(([reason, { meaning }]) => {
    const code = grpcCodes[codeOfReason[reason as Reason]];
    return [`\`${reason}\``, code.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase(), meaning];
  });
}

function metricRows(): string[][] {
  return Object.values(catalogue).map((metric: MetricDefinition) => [
    `\`${metric.name}\``,
    metric.kind,
    Object.keys(metric.labels).join(", "),
    metric.roles.length === 2 ? "both" : metric.roles.join(""),
    metric.help,
  ]);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

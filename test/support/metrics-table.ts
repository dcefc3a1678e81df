import type { MetricDefinition } from "../../src/telemetry/catalogue.ts";

/** The row of a metric in the table of docs/metrics.md. */
export function metricRow({ name, kind, labels, roles, help }: MetricDefinition): string {
  const labelNames = Object.keys(labels).map((label) => `\`${label}\``);
  return `| \`${name}\` | ${kind} | ${labelNames.join(", ")} | ${roles.join(", ")} | ${help} |`;
}

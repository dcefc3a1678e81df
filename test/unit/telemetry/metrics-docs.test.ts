import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { catalogue, type MetricDefinition } from "../../../src/telemetry/catalogue.ts";
import * as labelValues from "../../../src/telemetry/label-values.ts";
import { defaultMetricNames, processMetricNames } from "../../../src/telemetry/process-metrics.ts";
import { metricRow } from "../../support/metrics-table.ts";
import { analysePromql } from "../../support/promql.ts";

const definitions = Object.values<MetricDefinition>(catalogue);
const page = readFileSync(join(import.meta.dirname, "../../../docs/metrics.md"), "utf8");
/** The formatter pads the cells of tables. */
const lines = new Set(page.split("\n").map((line) => line.replaceAll(/ +/g, " ").trim()));

test("every metric of the catalogue is in the tables, as it is", () => {
  const rows = definitions.map(metricRow).map((row) => row.replaceAll(/ +/g, " "));
  expect(rows.filter((row) => !lines.has(row))).toEqual([]);
});

test("the page names no metric that does not exist", () => {
  const known = new Set([...definitions.map(({ name }) => name), ...defaultMetricNames, ...processMetricNames]);
  const named = page.match(/\b(taskwatch|grpc_server|nodejs|process)_[a-z0-9_]+/g) ?? [];
  expect(named.map((name) => name.replace(/_bucket$/, "")).filter((name) => !known.has(name as never))).toEqual([]);
  expect(named).toEqual(expect.arrayContaining([...defaultMetricNames, ...processMetricNames]));
});

test("every value of a closed label is on the page", () => {
  const values = Object.values(labelValues).flatMap((value) => (Array.isArray(value) ? [...(value as string[])] : []));
  expect(values.length).toBeGreaterThan(40);
  expect(values.filter((value) => !page.includes(`\`${value}\``))).toEqual([]);
});

test("the expressions of the page are PromQL", () => {
  const expressions = [...page.matchAll(/^\|[^|]+\? +\| `(.+)` +\|$/gm)].map(([, expr = ""]) =>
    expr.replaceAll("\\|", "|"),
  );
  expect(expressions.length).toBeGreaterThan(5);
  expect(expressions.flatMap((expr) => analysePromql(expr).uses).length).toBeGreaterThan(5);
});

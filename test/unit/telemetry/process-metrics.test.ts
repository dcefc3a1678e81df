import { Registry } from "prom-client";
import { expect, test } from "vitest";

import {
  defaultMetricNames,
  processMetricNames,
  registerProcessMetrics,
} from "../../../src/telemetry/process-metrics.ts";
import { parseExposition, valueOf } from "../../support/exposition.ts";

test("exactly the allowed process metrics are reported, with values", async () => {
  const registry = new Registry();
  registerProcessMetrics(registry, { version: "1.2.3", commit: "abc" });
  const text = await registry.metrics();
  expect(registry.getMetricsAsArray().map(({ name }) => name)).toEqual([...processMetricNames, ...defaultMetricNames]);
  const build = { version: "1.2.3", commit: "abc", node_version: process.version };
  expect(valueOf(text, "taskwatch_build_info", build)).toBe(1);
  expect(valueOf(text, "process_resident_memory_bytes")).toBeGreaterThan(0);
  expect(valueOf(text, "process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(valueOf(text, "nodejs_heap_size_used_bytes")).toBeGreaterThan(0);
});

test("the busy time of the event loop only grows, however often it is read", async () => {
  const registry = new Registry();
  registerProcessMetrics(registry, { version: "1.2.3", commit: "abc" });
  const read = async (): Promise<number> =>
    valueOf(await registry.metrics(), "nodejs_eventloop_active_seconds_total") ?? Number.NaN;
  const seen = [await read(), await read()];
  const until = performance.now() + 20;
  while (performance.now() < until);
  await new Promise(setImmediate);
  seen.push(await read());
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect((seen[2] ?? 0) - (seen[1] ?? 0)).toBeGreaterThan(0.015);
});

test("all process metrics carry base units and no labels of unbounded values", async () => {
  const registry = new Registry();
  registerProcessMetrics(registry, { version: "1.2.3", commit: "abc" });
  const labels = new Set(parseExposition(await registry.metrics()).flatMap((series) => Object.keys(series.labels)));
  expect([...labels].toSorted()).toEqual(["commit", "node_version", "version"]);
});

import { Counter, Histogram, Registry } from "prom-client";
import { expect, test } from "vitest";

import { createTallyCounter, createTallyHistogram } from "../../../src/telemetry/tally.ts";

const labels = { queue: 'a "quoted"\nname', type: "b" };

test("a counter is reported as the library reports its own", async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const cell = createTallyCounter<"queue" | "type">({ name: "x_total", help: "X", registry: ours }).cell(labels);
  const counter = new Counter({ name: "x_total", help: "X", labelNames: ["queue", "type"], registers: [theirs] });
  cell.value += 3;
  counter.inc(labels, 3);
  expect(await ours.metrics()).toBe(await theirs.metrics());
});

test("a histogram is reported as the library reports its own, whatever the values", async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const options = { name: "x_seconds", help: "X", buckets: [0.1, 1, 10] };
  const cell = createTallyHistogram<"queue" | "type">({ ...options, registry: ours }).cell(labels);
  const histogram = new Histogram({ ...options, labelNames: ["queue", "type"], registers: [theirs] });
  for (const value of [0, 0.1, 0.11, 1, 9.99, 10, 10.01, 1e9]) {
    cell.observe(value);
    histogram.observe(labels, value);
  }
  expect(await ours.metrics()).toBe(await theirs.metrics());
});

test.each([-1, Number.NaN])("a histogram counts %d as 0 and keeps its sum", async (value) => {
  const registry = new Registry();
  const cell = createTallyHistogram({ name: "x_seconds", help: "X", buckets: [1], registry }).cell({});
  cell.observe(2);
  cell.observe(value);
  const text = await registry.metrics();
  expect(text).toContain('x_seconds_bucket{le="1"} 1');
  expect(text).toContain("x_seconds_sum 2");
});

test("a tally without a registry counts and reports nothing", () => {
  const cell = createTallyCounter({ name: "x_total", help: "X", registry: undefined }).cell({});
  cell.value += 1;
  expect(cell.value).toBe(1);
});

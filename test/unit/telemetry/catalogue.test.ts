import { Registry } from "prom-client";
import { expect, test } from "vitest";

import { catalogue, type MetricDefinition } from "../../../src/telemetry/catalogue.ts";
import * as values from "../../../src/telemetry/label-values.ts";
import { createMetrics, type Metrics } from "../../../src/telemetry/metrics.ts";
import { registerProcessMetrics } from "../../../src/telemetry/process-metrics.ts";
import { parseExposition, type ScrapedSeries } from "../../support/exposition.ts";

const definitions = Object.values<MetricDefinition>(catalogue);

test.each(definitions)("$name keeps the naming conventions", ({ name, kind, help, labels }) => {
  const suffix = { counter: /_total$/, gauge: /(?<!_total)$/, histogram: /_seconds$/ }[kind];
  expect(name).toMatch(/^(taskwatch|grpc_server)(_[a-z]+)+$/);
  expect(name).toMatch(suffix);
  expect(help).toMatch(/^[A-Z0-9].*[^.]$/);
  expect(Object.keys(labels).filter((label) => !/^[a-z]+(_[a-z]+)*$/.test(label))).toEqual([]);
});

test("no name is used twice", () => {
  expect(new Set(definitions.map(({ name }) => name)).size).toBe(definitions.length);
});

test.each(definitions)("$name has labels of a bounded number of values only", ({ labels }) => {
  const names = Object.keys(labels);
  const bounded = names.filter((name) => labels[name] === "bounded");
  const tooMany = names.filter((name) => (labels[name]?.length ?? 0) > 20);
  expect(["queue", "type", "grpc_service", "grpc_method"]).toEqual(expect.arrayContaining(bounded));
  expect(tooMany).toEqual([]);
  expect(names.filter((name) => /^id$|_id$|namespace|principal|worker|error|message/.test(name))).toEqual([]);
});

test.each(definitions.filter(({ kind }) => kind === "histogram"))("$name has at most 15 ascending buckets", (one) => {
  const buckets = one.buckets ?? [];
  expect(buckets.length).toBeGreaterThan(5);
  expect(buckets.length).toBeLessThanOrEqual(15);
  expect(buckets).toEqual(buckets.toSorted((a, b) => a - b));
  expect(new Set(buckets).size).toBe(buckets.length);
});

test("a usual process stays near a thousand series, API and worker alike", async () => {
  const queues = ["mail", "reports", "thumbnails"];
  const types = ["send", "render"];
  for (const role of ["api", "worker"] as const) {
    const registry = new Registry();
    const metrics = createMetrics({ registry, roles: [role] });
    registerProcessMetrics(registry, { version: "1.2.3", commit: "abc" });
    const methods = Array.from({ length: 20 }, (_, index) => `Method${index}`);
    metrics.rpcMethods(methods.map((method) => ({ service: "taskwatch.v1.TaskService", method, type: "unary" })));
    exercise(metrics, { queues, types });
    expect(parseExposition(await metrics.scrape()).length).toBeLessThan(1_200);
  }
});

test("a flood of made-up names stays within the series budget", async () => {
  const registry = new Registry();
  const metrics = createMetrics({ registry, roles: ["api", "worker"] });
  const many = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, index) => prefix + index);
  exercise(metrics, { queues: many("queue", 200), types: many("type", 60) });
  const series = parseExposition(await metrics.scrape());
  expect(series.length).toBeLessThan(16_000);
  for (const [label, limit] of [
    ["queue", values.boundedQueueLimit],
    ["type", values.boundedPairLimit],
  ] as const) {
    const found = new Set(series.flatMap(({ labels }) => labels[label] ?? []));
    expect(found.size).toBeLessThanOrEqual(limit + 1);
    expect(found).toContain("other");
  }
});

test("no series has a label value that the catalogue does not allow", async () => {
  const bounded = ["demo", "sleep", "taskwatch.v1.TaskService", "GetStatus"];
  const strays = (await scrapeExercised()).flatMap(({ name, labels }) =>
    Object.entries(labels).filter(([label, value]) => {
      const rule = definitionOf(name)?.labels[label];
      return label !== "le" && !(rule === "bounded" ? bounded : (rule ?? [])).includes(value);
    }),
  );
  expect(strays).toEqual([]);
});

test("every series has all labels of its metric", async () => {
  const partial = (await scrapeExercised()).filter(({ name, labels }) =>
    Object.keys(definitionOf(name)?.labels ?? {}).some((label) => labels[label] === undefined),
  );
  expect(partial).toEqual([]);
});

function definitionOf(series: string): MetricDefinition | undefined {
  const family = series.replace(/_(bucket|sum|count)$/, "");
  return definitions.find(({ name }) => name === series || name === family);
}

async function scrapeExercised(): Promise<ScrapedSeries[]> {
  const metrics = createMetrics({ registry: new Registry(), roles: ["api", "worker"] });
  exercise(metrics, { queues: ["demo"], types: ["sleep"] });
  return parseExposition(await metrics.scrape());
}

function exercise(
  metrics: Metrics,
  { queues, types }: { readonly queues: readonly string[]; readonly types: readonly string[] },
): void {
  const { submitResults, taskOutcomes, attemptOutcomes, retryReasons } = values;
  metrics.rpcMethods([{ service: "taskwatch.v1.TaskService", method: "GetStatus", type: "unary" }]);
  for (const protocol of values.protocols) {
    const call = { protocol, service: "taskwatch.v1.TaskService", method: "GetStatus" };
    metrics.rpcStarted(call);
    for (const code of values.grpcCodes.keys()) metrics.rpcHandled(call, { code, seconds: 0.1 });
  }
  for (const queue of queues) {
    metrics.typesServed({ queue, types });
    for (const type of types) {
      for (const result of submitResults) metrics.taskSubmitted({ queue, type, result });
      for (const outcome of attemptOutcomes) metrics.attemptEnded({ queue, type, outcome, runSeconds: 1 });
      for (const outcome of taskOutcomes) metrics.taskCompleted({ queue, type, outcome, totalSeconds: 1 });
      for (const reason of retryReasons) metrics.taskRetried({ queue, type, code: reason.toUpperCase() });
      metrics.attemptStarted({ queue, type, waitSeconds: 1 });
      metrics.taskDeadLettered({ queue, type });
    }
  }
  const byPriority = { high: 1, normal: 1, low: 1 };
  metrics.collectQueues(() =>
    queues.map((queue) => ({
      queue,
      waiting: byPriority,
      running: byPriority,
      delayed: 1,
      dead: 1,
      oldestWaitingAgeSeconds: 1,
    })),
  );
  metrics.collectWorkers(() => queues.map((queue) => ({ queue, slots: 2, busy: 1, heartbeatMs: 1 })));
  metrics.collectView(() => ({ appliedRevision: 1, proofAgeSeconds: 1, rows: 1, indexBytes: 1 }));
  metrics.collectNats(() => ({ connected: true, writesInFlight: 1 }));
}

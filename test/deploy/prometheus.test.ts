import { afterAll, beforeAll, describe, expect, inject, type TestContext, test } from "vitest";

import { dashboardExpressions, fillVariables } from "../support/dashboards.ts";
import { type LoadedApp, startLoadedApp } from "../support/loaded-app.ts";
import { type Prometheus, runPromtool, startPrometheus } from "../support/prometheus.ts";
import { systemProgram } from "../support/system-program.ts";

const resources = new AsyncDisposableStack();
let app: LoadedApp;
let prometheus: Prometheus | undefined;

beforeAll(async () => {
  app = resources.use(await startLoadedApp());
  const program = inject("systemPrograms").prometheus;
  if ("missing" in program) return;
  prometheus = resources.use(await startPrometheus({ binary: program.path, targets: app.targets }));
  await prometheus.scraped(12);
}, 60_000);

afterAll(() => resources.disposeAsync());

function runningPrometheus(context: TestContext): Prometheus {
  systemProgram(context, "prometheus");
  if (prometheus === undefined) throw new Error("Prometheus runs from beforeAll to afterAll");
  return prometheus;
}

test("promtool finds nothing to complain about in what any process serves", async (context) => {
  const promtool = systemProgram(context, "promtool");
  for (const { address } of app.targets) {
    const response = await fetch(`http://${address}/metrics`);
    expect(await runPromtool(promtool, ["check", "metrics"], await response.text())).toEqual({
      exitCode: 0,
      output: "",
    });
  }
});

test("promtool complains about a metric that breaks the rules, so that the check above can fail", async (context) => {
  const promtool = systemProgram(context, "promtool");
  const { exitCode, output } = await runPromtool(promtool, ["check", "metrics"], "# TYPE a_count gauge\na_count 1\n");
  expect(exitCode).not.toBe(0);
  expect(output).toContain("a_count");
});

describe("every expression of the dashboards has an answer with numbers in it", () => {
  test.for(dashboardExpressions())("$place", async ({ expr }, context) => {
    const filled = fillVariables(expr, "2s");
    const series = await runningPrometheus(context).queryRange(filled, { rangeSeconds: 1, stepSeconds: 0.5 });
    const numbers = series.flatMap(({ values }) => values.map(([, value]) => value)).filter(Number.isFinite);
    expect(numbers, `${filled} gave ${JSON.stringify(series)}`).not.toEqual([]);
  });

  test("an expression over a metric that nobody reports has none", async (context) => {
    const range = { rangeSeconds: 1, stepSeconds: 0.5 };
    expect(await runningPrometheus(context).queryRange("sum(no_such_metric)", range)).toEqual([]);
  });
});

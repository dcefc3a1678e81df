import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { dashboards } from "../../deploy/grafana/dashboards.ts";
import { catalogue, type MetricDefinition } from "../../src/telemetry/catalogue.ts";
import { defaultMetricNames, processMetricNames } from "../../src/telemetry/process-metrics.ts";
import {
  dashboardExpressions,
  dashboardFolder,
  fillVariables,
  type PanelJson,
  panelsOf,
  readDashboards,
} from "../support/dashboards.ts";
import { analysePromql, type MetricUse } from "../support/promql.ts";

const boards = [...readDashboards()].map(([file, dashboard]) => ({ file, dashboard }));
const panels = boards.flatMap(({ dashboard }) => panelsOf(dashboard));
const expressions = dashboardExpressions();

test("every committed dashboard is what its generator writes", () => {
  expect(boards.map(({ file }) => file).toSorted()).toEqual([...dashboards.keys()].toSorted());
  for (const [name, json] of dashboards) expect(readFileSync(join(dashboardFolder, name), "utf8")).toBe(json);
});

describe.each(boards)("$file", ({ dashboard }) => {
  test("has a lasting uid, a title, and a description", () => {
    expect(dashboard.uid).toMatch(/^[a-z0-9-]{1,40}$/);
    expect(dashboard.title).toMatch(/^Taskwatch \/ \S/);
    expect(dashboard.description).not.toBe("");
  });

  test("lets the viewer choose data source, job, instance and queue", () => {
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(["datasource", "job", "instance", "queue"]);
  });

  test("opens with at most four sections", () => {
    const open = dashboard.panels.filter(({ type, collapsed }) => type === "row" && collapsed !== true);
    expect(open.length).toBeGreaterThan(0);
    expect(open.length).toBeLessThanOrEqual(4);
  });

  test("gives every panel and row an id of its own", () => {
    const ids = dashboard.panels.flatMap((panel) => [panel.id, ...(panel.panels ?? []).map(({ id }) => id)]);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("puts no panel on another or beyond the grid, whichever sections are open", () => {
    for (const group of [dashboard.panels, ...dashboard.panels.map((row) => row.panels ?? [])]) {
      expect(group.filter(({ gridPos: { x, w } }) => x < 0 || x + w > 24)).toEqual([]);
      expect(overlaps(group)).toEqual([]);
    }
  });
});

describe.each(panels)("panel $title", (panel) => {
  test("says what it shows, in which unit, from the chosen data source", () => {
    expect(panel.title).toMatch(/^\S.*\S$/);
    expect(panel.description).toMatch(/^[A-Z0-9].{20,}\.$/s);
    expect(panel.fieldConfig?.defaults?.unit).toMatch(/^\w+$/);
    expect(panel.datasource).toEqual({ type: "prometheus", uid: "${datasource}" });
  });

  test("has queries with ids of their own and names for their series", () => {
    const targets = panel.targets ?? [];
    expect(targets.length).toBeGreaterThan(0);
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    expect(targets.filter(({ legendFormat }) => !legendFormat)).toEqual([]);
  });
});

test.each(panels.filter(({ type }) => type === "timeseries"))(
  "curves of $title have a legend and a full tooltip",
  (panel) => {
    expect(panel.options?.legend?.showLegend).toBe(true);
    expect(panel.options?.tooltip?.mode).toBe("multi");
  },
);

describe.each(expressions)("$place", ({ expr }) => {
  // The parser knows neither variables nor the range that Grafana fills in; this one is used nowhere else.
  const rateInterval = "77s";
  const { uses, grouping } = analysePromql(fillVariables(expr, rateInterval));

  test("uses metrics and labels that exist", () => {
    expect(uses.length).toBeGreaterThan(0);
    expect(uses.map(({ name }) => name).filter((name) => labelsOf(name) === undefined)).toEqual([]);
    const known = new Set(uses.flatMap(({ name }) => labelsOf(name) ?? []));
    expect([...grouping, ...uses.flatMap(({ labels }) => labels)].filter((label) => !known.has(label))).toEqual([]);
  });

  test("takes rates of counters, and of counters only, over the range that fits the zoom", () => {
    expect(uses.filter((use) => isCounter(use) !== (use.function === "rate"))).toEqual([]);
    expect(uses.filter(({ range }) => range !== undefined && range !== rateInterval)).toEqual([]);
  });

  test("keeps to the chosen jobs, instances and queues", () => {
    const needed = ({ name }: MetricUse): string[] => [
      "job",
      "instance",
      ...(labelsOf(name)?.includes("queue") ? ["queue"] : []),
    ];
    expect(uses.filter((use) => needed(use).some((label) => !use.labels.includes(label)))).toEqual([]);
  });
});

test("the parser refuses what is not PromQL, so that the checks above can fail", () => {
  expect(() => analysePromql("sum(rate(up[5m])")).toThrow(SyntaxError);
  expect(() => analysePromql("rate(up[$__rate_interval])")).toThrow(SyntaxError);
  expect(() => fillVariables('up{pod=~"$pod"}', "5m")).toThrow("unknown variable $pod");
});

/** Every series there can be, with the labels it can have; those of the scrape included. */
const labelsBySeries = new Map<string, readonly string[]>([
  ["up", []],
  ...defaultMetricNames.flatMap((name): [string, string[]][] => [
    [name, ["kind"]],
    [`${name}_sum`, ["kind"]],
  ]),
  ...processMetricNames.map((name): [string, string[]] => [name, ["version", "commit", "node_version"]]),
  ...Object.values<MetricDefinition>(catalogue).flatMap(({ name, kind, labels }): [string, string[]][] => {
    const own = Object.keys(labels);
    return kind === "histogram"
      ? [
          [`${name}_bucket`, [...own, "le"]],
          [`${name}_sum`, own],
          [`${name}_count`, own],
        ]
      : [[name, own]];
  }),
]);

function labelsOf(series: string): readonly string[] | undefined {
  const own = labelsBySeries.get(series);
  return own === undefined ? undefined : [...own, "job", "instance"];
}

function isCounter({ name }: MetricUse): boolean {
  return /_(total|bucket|sum|count)$/.test(name);
}

function overlaps(group: readonly PanelJson[]): string[] {
  return group.flatMap((a, index) =>
    group.slice(index + 1).flatMap((b) => {
      const [p, q] = [a.gridPos, b.gridPos];
      const apart = p.x + p.w <= q.x || q.x + q.w <= p.x || p.y + p.h <= q.y || q.y + q.h <= p.y;
      return apart ? [] : [`${a.title} and ${b.title}`];
    }),
  );
}

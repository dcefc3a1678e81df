import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A committed dashboard, as far as tests look at it. */
export interface DashboardJson {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
  readonly panels: readonly PanelJson[];
}

/** A panel or a row. */
export interface PanelJson {
  readonly id: number;
  readonly type: string;
  readonly title?: string;
  readonly description?: string;
  readonly collapsed?: boolean;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly fieldConfig?: { readonly defaults?: { readonly unit?: string } };
  readonly options?: {
    readonly legend?: { readonly showLegend: boolean };
    readonly tooltip?: { readonly mode: string };
  };
  readonly targets?: readonly { readonly refId: string; readonly expr: string; readonly legendFormat?: string }[];
  /** The panels of a closed row. */
  readonly panels?: readonly PanelJson[];
}

/** One expression of a dashboard, and where it is. */
export interface DashboardExpression {
  /** The panel and the query in it. */
  readonly place: string;
  readonly expr: string;
}

/** Where the dashboards are. */
export const dashboardFolder = join(import.meta.dirname, "../../deploy/grafana");

/** The committed dashboards, by file name. */
export function readDashboards(): ReadonlyMap<string, DashboardJson> {
  const names = readdirSync(dashboardFolder).filter((name) => name.endsWith(".json"));
  return new Map(
    names.map((name) => [name, JSON.parse(readFileSync(join(dashboardFolder, name), "utf8")) as DashboardJson]),
  );
}

/** All panels that are not rows, those of closed rows included. */
export function panelsOf(dashboard: DashboardJson): PanelJson[] {
  return dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]).filter((panel) => panel.type !== "row");
}

/** All expressions of all dashboards. */
export function dashboardExpressions(): DashboardExpression[] {
  return [...readDashboards().values()].flatMap((dashboard) =>
    panelsOf(dashboard).flatMap((panel) =>
      (panel.targets ?? []).map(({ refId, expr }) => ({
        place: `${panel.title} / ${refId}`,
        expr,
      })),
    ),
  );
}

/** What Grafana would send with every variable at "All". Throws at a variable that it does not know. */
export function fillVariables(expr: string, rateInterval: string): string {
  const values: Readonly<Record<string, string>> = {
    __rate_interval: rateInterval,
    job: ".*",
    instance: ".*",
    queue: ".*",
  };
  return expr.replaceAll(/\$\{?(\w+)\}?/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`unknown variable $${name} in ${expr}`);
    return value;
  });
}

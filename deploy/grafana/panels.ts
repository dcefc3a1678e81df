import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  BigValueColorMode,
  BigValueGraphMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import {
  type GridPos,
  type Panel,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatPanelBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TimeseriesPanelBuilder } from "@grafana/grafana-foundation-sdk/timeseries";

import type { Query } from "./queries.ts";

/** What one panel shows. */
export interface PanelSpec {
  readonly title: string;
  /** What it means, and what to think of it. */
  readonly description: string;
  /** A unit id of Grafana. */
  readonly unit: string;
  readonly queries: readonly Query[];
  /** A curve over time, or the current value in large. A curve if unset. */
  readonly kind?: "curve" | "number";
  /** Curves of parts of a whole are stacked. */
  readonly stacked?: boolean;
  /** From which values on it is worth a look, and bad. */
  readonly thresholds?: { readonly warn: number; readonly bad: number };
  /** The upper end of the axis, where the value cannot go beyond it. */
  readonly max?: number;
  /** A third of the width for curves, a sixth for numbers. */
  readonly width?: number;
}

/** The data source that the viewer chose. */
export const datasource = { type: "prometheus", uid: "${datasource}" };

/** The panel, at its place. */
export function buildPanel(spec: PanelSpec, id: number, gridPos: GridPos): Builder<Panel> {
  const builder = spec.kind === "number" ? statPanel(spec) : curvePanel(spec);
  builder
    .id(id)
    .gridPos(gridPos)
    .title(spec.title)
    .description(spec.description)
    .datasource(datasource)
    .unit(spec.unit)
    .min(0)
    .targets(spec.queries.map(target));
  if (spec.max !== undefined) builder.max(spec.max);
  return builder;
}

/** The size of a panel on the grid, which is 24 wide. */
export function sizeOf({ kind, width }: PanelSpec): { readonly w: number; readonly h: number } {
  return kind === "number" ? { w: width ?? 4, h: 4 } : { w: width ?? 8, h: 8 };
}

function curvePanel(spec: PanelSpec): TimeseriesPanelBuilder {
  const builder = new TimeseriesPanelBuilder()
    .lineWidth(1)
    .fillOpacity(spec.stacked === true ? 30 : 8)
    .showPoints(VisibilityMode.Never)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.Table)
        .placement(LegendPlacement.Bottom)
        .calcs(["lastNotNull", "max"]),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .thresholds(thresholds(spec));
  return spec.stacked === true ? builder.stacking(new StackingConfigBuilder().mode(StackingMode.Normal)) : builder;
}

function statPanel(spec: PanelSpec): StatPanelBuilder {
  return new StatPanelBuilder()
    .graphMode(BigValueGraphMode.Area)
    .colorMode(BigValueColorMode.Value)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .thresholds(thresholds(spec));
}

function thresholds(spec: PanelSpec): ThresholdsConfigBuilder {
  const steps = [{ value: null, color: spec.thresholds === undefined ? "blue" : "green" }];
  const limits =
    spec.thresholds === undefined
      ? []
      : [
          { value: spec.thresholds.warn, color: "orange" },
          { value: spec.thresholds.bad, color: "red" },
        ];
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps([...steps, ...limits]);
}

function target({ expr, legend }: Query, index: number): DataqueryBuilder {
  return new DataqueryBuilder()
    .refId(String.fromCodePoint(65 + index))
    .datasource(datasource)
    .expr(expr)
    .range()
    .legendFormat(legend);
}

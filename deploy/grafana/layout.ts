import {
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
  VariableSort,
} from "@grafana/grafana-foundation-sdk/dashboard";
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";

import { buildPanel, datasource, type PanelSpec, sizeOf } from "./panels.ts";

/** Panels that belong together. */
export interface Section {
  readonly title: string;
  /** Closed sections do not query anything until they are opened. */
  readonly collapsed: boolean;
  readonly panels: readonly PanelSpec[];
}

/** A dashboard. */
export interface DashboardSpec {
  /** Names it for good: links hold it. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly sections: readonly Section[];
}

/* oxlint-disable typescript/no-deprecated -- the schema that follows this one is read by the newest Grafana only */

/** Lays the sections out from top to bottom, and the panels of each from left to right. */
export function buildDashboard({ uid, title, description, sections }: DashboardSpec): Dashboard {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(["taskwatch"])
    .timezone("browser")
    .time({ from: "now-1h", to: "now" })
    .refresh("30s")
    .tooltip(DashboardCursorSync.Crosshair)
    .variables(variables());
  let top = 0;
  let nextId = 1;
  for (const section of sections) {
    const row = new RowBuilder(section.title).id(nextId++).gridPos({ x: 0, y: top, w: gridWidth, h: 1 });
    const placed = place(section.panels, top + 1);
    const panels = placed.panels.map(({ spec, gridPos }) => buildPanel(spec, nextId++, gridPos));
    // The panels of a closed row live inside it, those of an open one behind it.
    if (section.collapsed) for (const panel of panels) row.withPanel(panel);
    builder.withRow(row);
    if (!section.collapsed) for (const panel of panels) builder.withPanel(panel);
    top = section.collapsed ? top + 1 : placed.bottom;
  }
  return builder.build();
}

const gridWidth = 24;

function place(specs: readonly PanelSpec[], top: number) {
  let [x, y, height] = [0, top, 0];
  const panels = specs.map((spec) => {
    const { w, h } = sizeOf(spec);
    if (x + w > gridWidth) [x, y, height] = [0, y + height, 0];
    const gridPos = { x, y, w, h };
    x += w;
    height = Math.max(height, h);
    return { spec, gridPos };
  });
  return { panels, bottom: y + height };
}

function variables() {
  return [
    new DatasourceVariableBuilder("datasource").label("Data source").type("prometheus"),
    valuesOf("job", "Job", "label_values(taskwatch_build_info, job)"),
    valuesOf("instance", "Instance", 'label_values(taskwatch_build_info{job=~"$job"}, instance)'),
    valuesOf(
      "queue",
      "Queue",
      'label_values({__name__=~"taskwatch_queue_waiting|taskwatch_worker_slots", job=~"$job"}, queue)',
    ),
  ];
}

/** A choice of label values: several, or all, which includes series without the label. */
function valuesOf(name: string, label: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(datasource)
    .query(query)
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalCaseInsensitiveAsc)
    .multi(true)
    .includeAll(true)
    .allValue(".*")
    .current({ selected: true, text: ["All"], value: ["$__all"] });
}

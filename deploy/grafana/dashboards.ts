/*
 * Writes the dashboards as JSON, beside this file.
 *
 *   node deploy/grafana/dashboards.ts
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { buildDashboard } from "./layout.ts";
import { overview } from "./overview.ts";

/** Each file name with what is in it. */
export const dashboards: ReadonlyMap<string, string> = new Map(
  [overview].map((spec) => [`${spec.uid}.json`, `${JSON.stringify(buildDashboard(spec), null, 2)}\n`]),
);

if (import.meta.main) {
  for (const [name, json] of dashboards) await writeFile(join(import.meta.dirname, name), json);
}

import type { TaskStatus } from "../../client/status/task-status.ts";
import { formatDuration } from "../duration.ts";
import type { Session } from "../session.ts";
import { clipText, plainText, textWidth } from "./screen-text.ts";
import { accentOf, type Style, styleOf } from "./style.ts";
import { formatTable } from "./table.ts";
import { elapsedText, remarkText } from "./task-facts.ts";

const header = ["ID", "TYPE", "STATE", "ATTEMPT", "AGE", "TIME", "REMARK"];
const leastRemark = 20;

/** Writes statuses: a table for people, else one JSON object a line. */
export function writeStatuses(
  session: Session,
  statuses: readonly TaskStatus[],
  statusToJson: (status: TaskStatus) => object,
): void {
  const { io, options } = session;
  if (options.format === "json") {
    for (const status of statuses) io.out.write(`${JSON.stringify(statusToJson(status))}\n`);
  } else if (statuses.length > 0) {
    const columns = io.out.isTerminal ? io.out.columns : Number.POSITIVE_INFINITY;
    io.out.write(statusTable(statuses, { columns, nowMs: Date.now(), style: styleOf(io.out, io) }));
  }
}

/** A table with one task a row. What does not fit into the columns is cut off the remarks. */
export function statusTable(
  statuses: readonly TaskStatus[],
  { columns, nowMs, style }: { readonly columns: number; readonly nowMs: number; readonly style: Style },
): string {
  const rows = statuses.map((status) => [
    status.taskId,
    plainText(status.type),
    status.state,
    `${status.attempt}/${status.maxAttempts}`,
    status.createdAt === undefined ? "" : formatDuration(Math.max(0, nowMs - status.createdAt.getTime())),
    elapsedText(status, nowMs),
  ]);
  const width = [header, ...rows]
    .map((row) => row.slice(0, 6).map(textWidth))
    .reduce((widest, widths) => widest.map((most, index) => Math.max(most, widths[index] ?? 0)))
    .reduce((sum, cell) => sum + cell + 2, 0);
  const room = Math.max(leastRemark, columns - width);
  const styled = rows.map((cells, index) => {
    const status = statuses[index];
    if (status === undefined) return cells;
    const [id = "", type = "", state = "", ...rest] = cells;
    const remark = clipText(remarkText(status, nowMs), room);
    return [id, type, style(accentOf(status.state), state), ...rest, remark];
  });
  return formatTable([header.map((title) => style("faint", title)), ...styled]);
}

import { isTerminal, type TaskStatus } from "../../client/status/task-status.ts";
import { clipText } from "./screen-text.ts";
import { plainStyle, type Style } from "./style.ts";
import { taskLine } from "./task-line.ts";

/** What there is to show. */
export interface FrameContent {
  /** In the order in which they are to be shown. */
  readonly statuses: readonly TaskStatus[];
  /** Below the tasks, such as that the connection was lost. */
  readonly notice?: string | undefined;
}

/** Where it is to be shown. */
export interface FrameLayout {
  readonly columns: number;
  /** How many lines fit. */
  readonly rows: number;
  readonly nowMs: number;
  readonly style?: Style;
}

/** The lines of one frame. When not all tasks fit, those that go on come first, and the last line counts the rest. */
export function taskFrame({ statuses, notice }: FrameContent, layout: FrameLayout): string[] {
  const { columns, style = plainStyle } = layout;
  const room = Math.max(1, layout.rows - (notice === undefined ? 0 : 1));
  const shown = statuses.length <= room ? statuses : mostUrgent(statuses, room - 1);
  const lines = shown.map((status) => taskLine(status, layout));
  if (shown.length < statuses.length) {
    const hidden = statuses.filter((status) => !shown.includes(status));
    const over = hidden.filter(({ state }) => isTerminal(state)).length;
    lines.push(style("faint", clipText(`… and ${hidden.length} more, ${over} of them ended`, columns)));
  }
  if (notice !== undefined) lines.push(style("waiting", clipText(notice, columns)));
  return lines;
}

function mostUrgent(statuses: readonly TaskStatus[], count: number): readonly TaskStatus[] {
  const urgent = (status: TaskStatus): number => {
    if (status.state === "RUNNING" || status.state === "CANCELLING") return 0;
    return isTerminal(status.state) ? 2 : 1;
  };
  const chosen = new Set([...statuses].sort((a, b) => urgent(a) - urgent(b)).slice(0, count));
  return statuses.filter((status) => chosen.has(status));
}

import type { TaskStatus } from "../../client/status/task-status.ts";
import { isTerminal } from "../../client/status/task-status.ts";
import { clipText, padText, plainText, textWidth } from "./screen-text.ts";
import { type Accent, accentOf, plainStyle, type Style } from "./style.ts";
import { amountText, elapsedText, remarkText } from "./task-facts.ts";

/** Where lines are to be shown. */
export interface LineLayout {
  readonly columns: number;
  readonly nowMs: number;
  readonly style?: Style;
}

interface Part {
  readonly text: string;
  readonly accent?: Accent;
}

const stateWidth = "CANCELLING".length;
const barWidth = 20;
const narrow = 100;

/**
 * One task on one line, no wider than the layout: which, of what type, in what state, how far, for how long, and a remark.
 */
export function taskLine(status: TaskStatus, { columns, nowMs, style = plainStyle }: LineLayout): string {
  const { progress, state, type } = status;
  const accent = accentOf(state);
  const parts: Part[] = [
    { text: columns < narrow ? shortId(status.taskId) : status.taskId, accent: "strong" },
    { text: plainText(type) },
    { text: padText(state, stateWidth), accent },
  ];
  if (progress?.fraction !== undefined && !isTerminal(state)) {
    parts.push({ text: progressBar(progress.fraction, columns < narrow ? barWidth / 2 : barWidth), accent });
    parts.push({ text: `${Math.floor(progress.fraction * 100)}%`.padStart(4) });
  }
  if (progress !== undefined && (progress.done > 0 || progress.total !== undefined)) {
    parts.push({ text: amountText(progress) });
  }
  parts.push({ text: elapsedText(status, nowMs) });
  parts.push({ text: remarkText(status, nowMs), accent: state === "FAILED" ? "bad" : "faint" });
  return joinParts(parts, columns, style);
}

/** A bar of so many columns, filled to that fraction. */
export function progressBar(fraction: number, columns: number): string {
  const filled = Math.floor(Math.min(1, Math.max(0, fraction)) * columns);
  return "█".repeat(filled) + "░".repeat(columns - filled);
}

/** The end of an id tells tasks apart as well as the whole. */
function shortId(taskId: string): string {
  const kept = 8;
  return taskId.length > kept + 1 ? `…${taskId.slice(-kept)}` : taskId;
}

function joinParts(parts: readonly Part[], columns: number, style: Style): string {
  let line = "";
  let left = columns;
  for (const { text, accent } of parts) {
    if (text === "") continue;
    const gap = line === "" ? "" : "  ";
    const clipped = clipText(text, left - gap.length);
    if (clipped === "" || left - gap.length < 2) break;
    left -= gap.length + textWidth(clipped);
    line += gap + (accent === undefined ? clipped : style(accent, clipped));
  }
  return line;
}

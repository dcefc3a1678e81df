import type { Attempt, TaskStatus } from "../../client/status/task-status.ts";
import { formatDuration } from "../duration.ts";
import { plainText } from "./screen-text.ts";
import { accentOf, type Style } from "./style.ts";
import { formatTable } from "./table.ts";
import { amountText, errorText, waitText } from "./task-facts.ts";

/** How to show it. */
export interface DetailLayout {
  readonly nowMs: number;
  readonly style: Style;
}

/** Everything about one task, for people: its facts, its attempts, and its result last. */
export function taskDetail(status: TaskStatus, layout: DetailLayout): string {
  const { style } = layout;
  const facts = factsOf(status, layout).filter((fact): fact is [string, string] => fact[1] !== undefined);
  const sections = [formatTable(facts.map(([name, value]) => [style("faint", name), value]))];
  if (status.attempts.length > 0) sections.push(attemptTable(status.attempts, layout));
  const { result } = status;
  if (result !== undefined) {
    const text =
      result instanceof Uint8Array ? Buffer.from(result).toString("base64") : JSON.stringify(result, null, 2);
    sections.push(`${style("faint", "Result")}\n${text.split("\n").map(plainText).join("\n")}\n`);
  }
  return sections.join("\n");
}

function factsOf(status: TaskStatus, { nowMs, style }: DetailLayout): [name: string, value: string | undefined][] {
  const { state, progress, error, wait, cancellation, timeLedger } = status;
  const time = (date: Date | undefined): string | undefined => date && timeText(date, nowMs);
  return [
    ["Task", status.taskId],
    ["Queue", plainText(status.queue)],
    ["Type", plainText(status.type)],
    ["State", style(accentOf(state), state)],
    ["Waits", wait && waitText(status, nowMs)],
    ["Progress", progress && plainText([amountText(progress), progress.message].filter(Boolean).join(" · "))],
    ["Error", error && errorText(error)],
    ["Cancelled", cancellation && plainText(`by ${cancellation.requestedBy} · ${cancellation.reason}`)],
    ["Priority", status.priority],
    ["Attempts", `${status.attempt} of ${status.maxAttempts}`],
    ["Worker", status.worker && plainText(status.worker)],
    ["Labels", labelsText(status.labels)],
    ["Created", time(status.createdAt)],
    ["Scheduled", time(status.scheduledAt)],
    ["Started", time(status.startedAt)],
    ["Ended", time(status.endedAt)],
    ["Deadline", time(status.deadline)],
    ["Forgotten", time(status.expiresAt)],
    ["Time", timeLedger && ledgerText(timeLedger)],
    ["Runs again", status.retryOf],
    ["Revision", String(status.revision)],
  ];
}

function attemptTable(attempts: readonly Attempt[], { nowMs, style }: DetailLayout): string {
  const header = ["ATTEMPT", "OUTCOME", "RAN", "WORKER", "ERROR"].map((title) => style("faint", title));
  const rows = attempts.map(({ number, outcome, startedAt, endedAt, worker, error }) => [
    String(number),
    outcome ?? "running",
    startedAt === undefined ? "" : formatDuration((endedAt?.getTime() ?? nowMs) - startedAt.getTime()),
    plainText(worker),
    error === undefined ? "" : errorText(error),
  ]);
  return formatTable([header, ...rows]);
}

function labelsText(labels: Readonly<Record<string, string>>): string | undefined {
  const entries = Object.entries(labels);
  return entries.length === 0 ? undefined : plainText(entries.map(([name, value]) => `${name}=${value}`).join(" "));
}

function ledgerText({ queuedMs, runningMs, backoffMs }: NonNullable<TaskStatus["timeLedger"]>): string {
  const parts = [`queued ${formatDuration(queuedMs)}`, `running ${formatDuration(runningMs)}`];
  if (backoffMs > 0) parts.push(`backoff ${formatDuration(backoffMs)}`);
  return parts.join(" · ");
}

function timeText(date: Date, nowMs: number): string {
  const distanceMs = date.getTime() - nowMs;
  const distance = distanceMs > 0 ? `in ${formatDuration(distanceMs)}` : `${formatDuration(-distanceMs)} ago`;
  return `${date.toISOString()} (${distance})`;
}

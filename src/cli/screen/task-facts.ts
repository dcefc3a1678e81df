import type { AttemptError, Cancellation, Progress, TaskStatus } from "../../client/status/task-status.ts";
import { formatDuration } from "../duration.ts";
import { plainText } from "./screen-text.ts";

const binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB"];
const waits = {
  WORKER: "waits for a worker",
  NO_WORKER: "no worker serves the queue",
  PAUSED: "the queue is paused",
  SCHEDULE: "waits for its time",
  BACKOFF: "waits to be run again",
  UNSPECIFIED: "waits",
} as const;

/** The last run is what counts: how long it has been running, or how long the task took. Empty while it never ran. */
export function elapsedText({ startedAt, endedAt }: TaskStatus, nowMs: number): string {
  if (startedAt === undefined) return "";
  // The clock of the service may be ahead of ours.
  return formatDuration(Math.max(0, (endedAt?.getTime() ?? nowMs) - startedAt.getTime()));
}

/** How much is done, such as `12/27 files` or `1.5 MiB`. */
export function amountText({ done, total, unit }: Progress): string {
  const bytes = unit.toLowerCase() === "bytes";
  const write = (amount: number): string => (bytes ? formatBytes(amount) : String(Math.round(amount * 100) / 100));
  const amounts = total === undefined ? write(done) : `${write(done)}/${write(total)}`;
  return plainText(bytes || unit === "" ? amounts : `${amounts} ${unit}`);
}

/** An error on one line. */
export function errorText({ code, message }: AttemptError): string {
  return plainText(message === "" ? code : `${code}: ${message}`);
}

/** What a person wants to know besides the state: why it waits, what it says, why it failed, what came of it. */
export function remarkText(status: TaskStatus, nowMs: number): string {
  const parts = isRunning(status) ? runningRemarks(status) : restingRemarks(status, nowMs);
  if (status.error !== undefined) parts.push(errorText(status.error));
  return plainText(parts.filter((part) => part !== "").join(" · "));
}

function runningRemarks({ attempt, maxAttempts, attempts, progress, cancellation, error }: TaskStatus): string[] {
  const parts = cancellation === undefined ? [] : cancellationRemarks(cancellation);
  if (attempt > 1) parts.push(`attempt ${attempt}/${maxAttempts}`);
  if (progress !== undefined) parts.push(progress.message);
  const last = attempts.findLast(({ number, error: reason }) => number < attempt && reason !== undefined);
  if (error === undefined && last?.error !== undefined) parts.push(`before: ${errorText(last.error)}`);
  return parts;
}

function restingRemarks(status: TaskStatus, nowMs: number): string[] {
  if (status.state === "SUCCEEDED") return [resultText(status)];
  if (status.state === "CANCELLED" && status.cancellation !== undefined) {
    return cancellationRemarks(status.cancellation);
  }
  return [waitText(status, nowMs)];
}

function cancellationRemarks({ requestedBy, reason }: Cancellation): string[] {
  return [`cancelled by ${requestedBy}`, reason];
}

function isRunning({ state }: TaskStatus): boolean {
  return state === "RUNNING" || state === "CANCELLING";
}

/** What it waits for. */
export function waitText({ wait }: TaskStatus, nowMs: number): string {
  if (wait === undefined) return "";
  const { reason, until } = wait;
  if (until === undefined) return waits[reason];
  const leftMs = until.getTime() - nowMs;
  return leftMs > 0 ? `in ${formatDuration(leftMs)}` : "now due";
}

/** A result on one line. */
export function resultText({ result, resultContentType }: TaskStatus): string {
  if (result === undefined) return "";
  if (!(result instanceof Uint8Array)) return plainText(JSON.stringify(result));
  const type = resultContentType === undefined ? "" : ` of ${resultContentType}`;
  return plainText(`${formatBytes(result.length)}${type}`);
}

function formatBytes(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  for (; amount >= 1_024 && unit < binaryUnits.length - 1; unit += 1) amount /= 1_024;
  return `${unit === 0 ? Math.round(amount) : amount.toFixed(1)} ${binaryUnits[unit] ?? ""}`;
}

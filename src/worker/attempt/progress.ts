import { create } from "@bufbuild/protobuf";

import { type Progress, ProgressSchema } from "../../gen/taskwatch/v1/task_pb.ts";
import type { ProgressUpdate } from "../handler/handler.ts";
import { cutToCharacters, oneLine } from "./bounded-text.ts";

const maxUnitCharacters = 32;
const maxMessageCharacters = 256;

/** What a reporter needs. */
export interface ProgressReporterOptions {
  /** The shortest time between two writes. */
  readonly intervalMs: number;
  /** Called when there is something to write, and it is time: `take` it soon. */
  readonly onDue: () => void;
}

/**
 * Gathers what a handler reports, so that few writes show it: the first report is due at once, what follows within the interval
 * is due at its end, and only the latest counts.
 */
export class ProgressReporter {
  readonly #options: ProgressReporterOptions;
  #done = 0;
  #total = 0;
  #unit = "";
  #message = "";
  #reported = false;
  #changed = false;
  #closed = false;
  #takenMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ProgressReporterOptions) {
    this.#options = options;
  }

  /** Never throws, whatever a handler passes. */
  report(update: ProgressUpdate): void {
    if (this.#closed) return;
    // Also "nothing done yet" is worth saying, once.
    if (!this.#reported) this.#changed = true;
    this.#reported = true;
    try {
      this.#merge(update);
    } catch {
      // A getter of the handler's own object threw. Progress is not worth an attempt.
    }
    if (!this.#changed || this.#timer !== undefined) return;
    const waitMs = this.#takenMs + this.#options.intervalMs - performance.now();
    if (waitMs <= 0) this.#options.onDue();
    else this.#timer = setTimeout(() => this.#onTimer(), waitMs);
  }

  /** What is to be shown, if that has not been taken yet. */
  take(): Progress | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    this.#takenMs = performance.now();
    const [done, total] = [this.#done, this.#total];
    return create(ProgressSchema, {
      done,
      total,
      unit: oneLine(cutToCharacters(this.#unit, maxUnitCharacters)),
      message: oneLine(cutToCharacters(this.#message, maxMessageCharacters)),
      ...(total > 0 ? { fraction: Math.min(1, done / total) } : {}),
    });
  }

  /** Says that what was taken was not written. */
  restore(): void {
    this.#changed = true;
  }

  /** Nothing is due any more. What was reported last can still be taken. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #onTimer(): void {
    this.#timer = undefined;
    if (this.#changed) this.#options.onDue();
  }

  #merge({ done, total, unit, message }: ProgressUpdate): void {
    if (isAmount(done) && done !== this.#done) this.#done = this.#note(done);
    if (isAmount(total) && total !== this.#total) this.#total = this.#note(total);
    if (typeof unit === "string" && unit !== this.#unit) this.#unit = this.#note(unit);
    if (typeof message === "string" && message !== this.#message) this.#message = this.#note(message);
  }

  #note<Part>(part: Part): Part {
    this.#changed = true;
    return part;
  }
}

function isAmount(value: number | undefined): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

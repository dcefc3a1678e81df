import type { JsonValue } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";

import { type Task, taskIdOf } from "../../task/task.ts";
import type { ProgressUpdate, TaskContext } from "../handler/handler.ts";
import type { OpenedJob } from "./opened-job.ts";

/** What a context is made from. */
export interface AttemptContextParts {
  readonly opened: OpenedJob;
  readonly task: Task;
  readonly payload: JsonValue | Uint8Array | undefined;
  readonly progress: (update: ProgressUpdate) => void;
}

/** What a handler sees of its attempt. Most handlers look at little of it, so little of it is made before it is asked for. */
export class AttemptContext implements TaskContext {
  readonly queue: string;
  readonly type: string;
  readonly payload: JsonValue | Uint8Array | undefined;
  readonly attempt: number;
  readonly progress: (update: ProgressUpdate) => void;
  readonly #signalOf: { readonly signal: AbortSignal };
  readonly #opened: OpenedJob;
  readonly #task: Task;

  constructor(signalOf: { readonly signal: AbortSignal }, { opened, task, payload, progress }: AttemptContextParts) {
    this.queue = task.key.queue;
    this.type = opened.fixed.type;
    this.payload = payload;
    this.attempt = task.head.attempt;
    this.progress = progress;
    this.#signalOf = signalOf;
    this.#opened = opened;
    this.#task = task;
  }

  get taskId(): string {
    return taskIdOf(this.#task);
  }

  get contentType(): string {
    return this.#opened.job.payload?.contentType ?? "";
  }

  get maxAttempts(): number {
    return this.#opened.policy.maxAttempts;
  }

  get labels(): Readonly<Record<string, string>> {
    return this.#opened.fixed.labels;
  }

  get deadline(): Date | undefined {
    const { deadline } = this.#opened.fixed;
    return deadline === undefined ? undefined : timestampDate(deadline);
  }

  get traceparent(): string | undefined {
    const { traceparent } = this.#opened.fixed;
    return traceparent === "" ? undefined : traceparent;
  }

  get signal(): AbortSignal {
    return this.#signalOf.signal;
  }
}

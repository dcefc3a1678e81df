import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";

import { WorkerSchema } from "../gen/taskwatch/v1/queue_service_pb.ts";
import type { Presence } from "../nats/presence.ts";

const intervalMs = 10_000;

/** What is said of a worker. */
export interface PresenceOptions {
  readonly presence: Presence;
  readonly name: string;
  readonly queue: string;
  readonly types: readonly string[];
  readonly slots: number;
  readonly version: string;
  readonly busy: () => number;
  /** The worker could not be announced; it is tried again. */
  readonly onTrouble: (error: unknown) => void;
}

/** Says every 10 s that the worker is there, so that it can be listed. Nothing else depends on it. */
export class WorkerPresence {
  readonly #options: PresenceOptions;
  readonly #startTime = timestampFromMs(Date.now());
  readonly #timer: NodeJS.Timeout;
  #announcing = false;
  #announcement: Promise<void> = Promise.resolve();
  #announcedMs: number | undefined;

  constructor(options: PresenceOptions) {
    this.#options = options;
    // A worker that only waits must be able to end with its connection.
    this.#timer = setInterval(() => this.#announce(), intervalMs).unref();
    this.#announce();
  }

  /** When the worker was last announced, in ms since 1970; undefined if it was not. */
  get announcedMs(): number | undefined {
    return this.#announcedMs;
  }

  /** Says that the worker has left. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#announcement;
    try {
      await this.#options.presence.withdraw(this.#options.name);
    } catch (error) {
      // It is forgotten by itself.
      this.#options.onTrouble(error);
    }
  }

  #announce(): void {
    if (this.#announcing) return;
    this.#announcing = true;
    this.#announcement = this.#announceNow();
  }

  async #announceNow(): Promise<void> {
    const { presence, name, queue, types, slots, version, busy, onTrouble } = this.#options;
    const nowMs = Date.now();
    const worker = create(WorkerSchema, {
      name,
      queue,
      types: [...types],
      slots,
      busy: busy(),
      startTime: this.#startTime,
      heartbeatTime: timestampFromMs(nowMs),
      version,
    });
    try {
      await presence.announce(worker, 3 * intervalMs);
      this.#announcedMs = nowMs;
    } catch (error) {
      onTrouble(error);
    } finally {
      this.#announcing = false;
    }
  }
}

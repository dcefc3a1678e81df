import type { TaskKey } from "../task/task-id.ts";
import type { StatusSnapshot } from "../task/task.ts";

/** Why a status is not there any more. */
export type RemovalReason = "expired" | "deleted";

/** Hears of one task. None of these may throw; one that does is reported and the others are told all the same. */
export interface TaskSubscriber {
  /**
   * A write to the record, or a state that is known without one, in the order of revisions. Heartbeats are told of as well:
   * they leave `change` as it is. Several writes of one moment may be told of as the last of them.
   *
   * `writtenMs` is when the server stored it, by its clock; undefined for a state without a record.
   */
  onStatus(status: StatusSnapshot, writtenMs: number | undefined): void;
  /** The status is gone. */
  onRemoved(reason: RemovalReason): void;
  /** The store is another one, or an older state of it: nothing that was told before holds. */
  onReplaced(): void;
}

/** Ends a subscription. Idempotent. */
export type Unsubscribe = () => void;

/** Who hears of which task. */
export class Hub {
  readonly #subscribers = new Map<string, Set<TaskSubscriber>>();
  readonly #onFailure: (error: unknown) => void;
  #size = 0;

  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** How many subscriptions there are. */
  get size(): number {
    return this.#size;
  }

  subscribe(name: string, subscriber: TaskSubscriber): Unsubscribe {
    let subscribers = this.#subscribers.get(name);
    if (subscribers === undefined) this.#subscribers.set(name, (subscribers = new Set()));
    if (subscribers.has(subscriber)) throw new Error("a subscriber hears of a task once");
    subscribers.add(subscriber);
    this.#size += 1;
    const own = subscribers;
    return () => {
      if (!own.delete(subscriber)) return;
      this.#size -= 1;
      if (own.size === 0 && this.#subscribers.get(name) === own) this.#subscribers.delete(name);
    };
  }

  /** Whether anybody hears of the task. */
  has(name: string): boolean {
    return this.#subscribers.has(name);
  }

  /** Tells those who hear of one task. */
  tell(name: string, what: (subscriber: TaskSubscriber) => void): void {
    const subscribers = this.#subscribers.get(name);
    if (subscribers === undefined) return;
    for (const subscriber of subscribers) this.#tell(subscriber, what);
  }

  /** Tells everybody. */
  tellAll(what: (subscriber: TaskSubscriber) => void): void {
    for (const subscribers of this.#subscribers.values()) {
      for (const subscriber of subscribers) this.#tell(subscriber, what);
    }
  }

  #tell(subscriber: TaskSubscriber, what: (subscriber: TaskSubscriber) => void): void {
    try {
      what(subscriber);
    } catch (error) {
      this.#onFailure(error);
    }
  }
}

/** How the hub and the view name a task. */
export function nameOfKey({ namespace, queue, suffix }: TaskKey): string {
  return `${queue}.${namespace}.${suffix}`;
}

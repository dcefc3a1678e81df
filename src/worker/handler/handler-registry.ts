import type { Handler } from "./handler.ts";

/** The handlers of a worker, by type. */
export class HandlerRegistry {
  readonly #handlers: ReadonlyMap<string, Handler>;
  readonly #strangers = new Set<string>();

  /** Only the own properties of `handlers` count, so no type can name what every object has. */
  constructor(handlers: Readonly<Record<string, Handler>>) {
    this.#handlers = new Map(Object.entries(handlers));
  }

  /** The types that are served. */
  get types(): readonly string[] {
    return [...this.#handlers.keys()];
  }

  find(type: string): Handler | undefined {
    return this.#handlers.get(type);
  }

  /** Takes note of a type without a handler. Returns whether it is new, among the first 100 of its kind. */
  noteStranger(type: string): boolean {
    if (this.#strangers.size >= 100 || this.#strangers.has(type)) return false;
    this.#strangers.add(type);
    return true;
  }
}

interface Waiting<Item> {
  readonly resolve: (result: IteratorResult<Item, undefined>) => void;
  readonly reject: (error: Error) => void;
}

/** What stands between a source that pushes and a reader that pulls. The source is to stop while it is full. */
export class EventQueue<Item> {
  readonly #capacity: number;
  readonly #onRoom: () => void;
  #items: Item[] = [];
  #waiting: Waiting<Item>[] = [];
  #full = false;
  #ended = false;
  #error: Error | undefined;

  /** `onRoom` is called when there is room again after it was full. */
  constructor(capacity: number, onRoom: () => void) {
    this.#capacity = capacity;
    this.#onRoom = onRoom;
  }

  /** Whether the source should stop for now. */
  get full(): boolean {
    return this.#full;
  }

  /** Takes an item even when full, so that a source that stops late loses nothing. */
  push(item: Item): void {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting.resolve({ value: item, done: false });
      return;
    }
    this.#items.push(item);
    this.#full ||= this.#items.length >= this.#capacity;
  }

  /** Ends it after what is in it; with an error if one is given, which the reader gets once. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    const [first, ...others] = this.#waiting;
    this.#waiting = [];
    if (error === undefined) first?.resolve({ value: undefined, done: true });
    else if (first === undefined) this.#error = error;
    else first.reject(error);
    for (const { resolve } of others) resolve({ value: undefined, done: true });
  }

  /** Ends it at once: what is in it is dropped. */
  abort(error?: Error): void {
    this.#items = [];
    this.end(error);
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    const item = this.#items.shift();
    if (item !== undefined) {
      if (this.#full && this.#items.length <= this.#capacity / 2) {
        this.#full = false;
        this.#onRoom();
      }
      return Promise.resolve({ value: item, done: false });
    }
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }
}

const none = new Uint8Array(0);

/** A set of small numbers, kept as a bitmap: bit i of byte j stands for 8 j + i. Takes no memory while it is empty. */
export class PositionSet {
  #bits: Uint8Array;
  #size = 0;

  /** The set that `bytes` of another one stand for. */
  constructor(bytes: Uint8Array = none) {
    this.#bits = bytes.length === 0 ? none : Uint8Array.from(bytes);
    for (const byte of this.#bits) for (let rest = byte; rest > 0; rest &= rest - 1) this.#size += 1;
  }

  get size(): number {
    return this.#size;
  }

  has(position: number): boolean {
    return (((this.#bits[position >>> 3] ?? 0) >>> (position & 7)) & 1) === 1;
  }

  add(position: number): void {
    if (this.has(position)) return;
    const index = position >>> 3;
    if (index >= this.#bits.length) {
      const grown = new Uint8Array(Math.max(index + 1, this.#bits.length * 2));
      grown.set(this.#bits);
      this.#bits = grown;
    }
    this.#bits[index] = (this.#bits[index] ?? 0) | (1 << (position & 7));
    this.#size += 1;
  }

  delete(position: number): void {
    if (!this.has(position)) return;
    const index = position >>> 3;
    this.#bits[index] = (this.#bits[index] ?? 0) & ~(1 << (position & 7));
    this.#size -= 1;
    if (this.#size === 0) this.#bits = none;
  }

  /** The bitmap, without the zeros at its end. Valid until the set changes. */
  get bytes(): Uint8Array {
    if (this.#size === 0) return none;
    let length = this.#bits.length;
    while (length > 0 && this.#bits[length - 1] === 0) length -= 1;
    return this.#bits.subarray(0, length);
  }
}

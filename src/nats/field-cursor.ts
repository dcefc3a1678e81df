const varint = 0;
const bits64 = 1;
/** The wire type of texts, bytes and messages. */
export const lengthDelimited = 2;
const bits32 = 5;

/**
 * Walks over the fields of one encoded message. By hand, because this is done for every record and every task that is seen,
 * and the general reader costs several times as much.
 */
export class FieldCursor {
  readonly #buffer: Buffer;
  /** The number of the field that it stands on. */
  number = 0;
  /** The value of a varint field. Exact up to 2^53. */
  value = 0;
  /** Where the field ends. */
  end = 0;
  #start = 0;

  constructor(message: Uint8Array) {
    this.#buffer = Buffer.isBuffer(message)
      ? message
      : Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  }

  /** Steps to the next field; false at the end of the message. Throws a RangeError on bytes that are no message. */
  next(): boolean {
    if (this.end >= this.#buffer.length) return false;
    const tag = this.#varint();
    this.number = tag >>> 3;
    switch (tag & 7) {
      case varint:
        this.value = this.#varint();
        break;
      case bits64:
        this.end += 8;
        break;
      case lengthDelimited: {
        const length = this.#varint();
        this.#start = this.end;
        this.end += length;
        break;
      }
      case bits32:
        this.end += 4;
        break;
      default:
        throw new RangeError(`wire type ${tag & 7} is not expected`);
    }
    if (this.end > this.#buffer.length) throw new RangeError("message ends in the middle of a field");
    return true;
  }

  /** A length-delimited field: a part of the message, not a copy. */
  bytes(): Buffer {
    return this.#buffer.subarray(this.#start, this.end);
  }

  /** A length-delimited field as text. */
  text(): string {
    return this.#buffer.toString("utf8", this.#start, this.end);
  }

  #varint(): number {
    let sum = 0;
    let factor = 1;
    for (let count = 0; count < 10; count += 1) {
      const byte = this.#buffer[this.end];
      if (byte === undefined) break;
      this.end += 1;
      sum += (byte & 127) * factor;
      if (byte < 128) return sum;
      factor *= 128;
    }
    throw new RangeError("message ends in the middle of a number");
  }
}

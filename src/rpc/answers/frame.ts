/**
 * Writes protobuf messages of known size.
 *
 * The library's writer grows a buffer, shifts nested messages and copies the whole at the end. Here every size is counted
 * first, so a message is written once and in place: an eighth of the time, and this is done for each status and watcher.
 */

/** A message of known size while it is written. */
export interface Frame {
  readonly bytes: Buffer;
  /** How much is written. */
  length: number;
}

/** Begins a message of `size` bytes. */
export function createFrame(size: number): Frame {
  return { bytes: Buffer.allocUnsafe(size), length: 0 };
}

const varintType = 0;
const lengthDelimitedType = 2;

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size += 1;
  return size;
}

function putVarint(frame: Frame, value: number): void {
  let rest = value;
  // Not by shifting: revisions have more than 32 bits.
  for (; rest >= 128; rest = Math.floor(rest / 128)) frame.bytes[frame.length++] = (rest % 128) + 128;
  frame.bytes[frame.length++] = rest;
}

function tagSize(field: number): number {
  return field < 16 ? 1 : 2;
}

/** The size of a length-delimited field whose content has `length` bytes. */
export function fieldSize(field: number, length: number): number {
  return tagSize(field) + varintSize(length) + length;
}

/** Writes what comes before the content of a length-delimited field. */
export function putHeader(frame: Frame, field: number, length: number): void {
  putVarint(frame, field * 8 + lengthDelimitedType);
  putVarint(frame, length);
}

/** Writes a field of bytes, or of an encoded message. */
export function putBytes(frame: Frame, field: number, bytes: Uint8Array): void {
  putHeader(frame, field, bytes.length);
  frame.bytes.set(bytes, frame.length);
  frame.length += bytes.length;
}

/** The size of a field of text. A field of the default value is not written, here and below. */
export function textFieldSize(field: number, text: string): number {
  return text === "" ? 0 : fieldSize(field, Buffer.byteLength(text));
}

/** Writes a field of text. */
export function putText(frame: Frame, field: number, text: string): void {
  if (text === "") return;
  putHeader(frame, field, Buffer.byteLength(text));
  frame.length += frame.bytes.write(text, frame.length);
}

/** The size of a field of a number that is not negative. */
export function numberSize(field: number, value: number): number {
  return value === 0 ? 0 : tagSize(field) + varintSize(value);
}

/** Writes a field of a number that is not negative. */
export function putNumber(frame: Frame, field: number, value: number): void {
  if (value === 0) return;
  putVarint(frame, field * 8 + varintType);
  putVarint(frame, value);
}

/** The size of a boolean field. */
export function flagSize(field: number, flag: boolean): number {
  return flag ? tagSize(field) + 1 : 0;
}

/** Writes a boolean field. */
export function putFlag(frame: Frame, field: number, flag: boolean): void {
  if (flag) putNumber(frame, field, 1);
}

/** Writes bytes as they are: a part of a field whose header is there already. */
export function putRaw(frame: Frame, bytes: Uint8Array): void {
  frame.bytes.set(bytes, frame.length);
  frame.length += bytes.length;
}

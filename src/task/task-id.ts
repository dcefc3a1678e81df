/**
 * Task ids: `<queue>_<suffix>`, where the suffix is 128 bits as 26 characters of Crockford's base 32.
 *
 * The last 32 bits are a MAC, under a key of the deployment, over namespace, queue and the other 96 bits. Those are the
 * first 96 bits of a UUIDv7 (so ids sort by time), or, where the caller gave a `request_id`, of an HMAC of it (so that
 * the same request names the same task). An id whose MAC is right but which is not stored has therefore expired, and any
 * other never was; nothing needs to be kept to tell them apart. The namespace is in the MAC, so a task of another
 * namespace looks like one that never was.
 */
import { createHmac, createSecretKey, randomFillSync } from "node:crypto";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const suffixLength = 26;
const suffixPattern = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const queuePattern = /^[A-Za-z0-9_-]{1,64}$/;
const macOffset = 12;

/** What names a task within the store. */
export interface TaskKey {
  /** Who owns it. Comes from the credential, never from the request. */
  readonly namespace: string;
  /** Where it waits. */
  readonly queue: string;
  /** The part of the id after the queue. */
  readonly suffix: string;
}

/** Makes and checks the ids of one deployment. */
export interface TaskIds {
  /** A new id, at `nowMs`. */
  create(options: { readonly namespace: string; readonly queue: string; readonly nowMs: number }): TaskKey;
  /** The id that a `request_id` names: always the same. */
  forRequest(options: { readonly namespace: string; readonly queue: string; readonly requestId: string }): TaskKey;
  /** Whether this deployment may have made the id, for this namespace. Wrong once in 2^32 for an id that is made up. */
  isOurs(key: TaskKey): boolean;
}

/** The id of a task, as callers see it. */
export function taskIdFromKey(key: TaskKey): string {
  return `${key.queue}_${key.suffix}`;
}

/** Takes an id apart; undefined if it cannot be one. */
export function taskKeyFromId(namespace: string, taskId: string): TaskKey | undefined {
  const split = taskId.length - suffixLength - 1;
  if (split < 1 || taskId[split] !== "_") return undefined;
  const queue = taskId.slice(0, split);
  const suffix = taskId.slice(split + 1);
  return queuePattern.test(queue) && suffixPattern.test(suffix) ? { namespace, queue, suffix } : undefined;
}

/** The ids of the deployment that owns `secret` (at least 16 bytes). */
export function createTaskIds(secret: Uint8Array): TaskIds {
  if (secret.length < 16) throw new RangeError(`id secret must have at least 16 bytes, got ${secret.length}`);

  const key = createSecretKey(secret);
  // Namespace, queue and request id cannot hold a NUL, so no two lists of parts run together to the same text.
  const hmac = (parts: readonly string[]) => createHmac("sha256", key).update(parts.join("\0"), "latin1").digest();
  const seal = (bytes: Uint8Array, namespace: string, queue: string): Uint8Array => {
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, macOffset).toString("latin1");
    bytes.set(hmac(["id", namespace, queue, body]).subarray(0, 4), macOffset);
    return bytes;
  };

  return {
    create({ namespace, queue, nowMs }) {
      const bytes = seal(uuid7(nowMs), namespace, queue);
      return { namespace, queue, suffix: encodeSuffix(bytes) };
    },
    forRequest({ namespace, queue, requestId }) {
      const bytes = new Uint8Array(hmac(["request", namespace, queue, requestId]).subarray(0, 16));
      return { namespace, queue, suffix: encodeSuffix(seal(bytes, namespace, queue)) };
    },
    isOurs({ namespace, queue, suffix }) {
      const bytes = decodeSuffix(suffix);
      return Buffer.compare(seal(bytes.slice(), namespace, queue), bytes) === 0;
    },
  };
}

/** RFC 9562 §5.7: 48 bits of milliseconds, the version, the variant, and random bits. */
function uuid7(nowMs: number): Uint8Array {
  const bytes = new Uint8Array(16);
  randomFillSync(bytes, 6);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, Math.floor(nowMs / 2 ** 32));
  view.setUint32(2, nowMs % 2 ** 32);
  view.setUint8(6, 0x70 | (view.getUint8(6) & 0x0f));
  view.setUint8(8, 0x80 | (view.getUint8(8) & 0x3f));
  return bytes;
}

function encodeSuffix(bytes: Uint8Array): string {
  let text = "";
  // 26 characters hold 130 bits: two zero bits come first.
  let bits = 2;
  let buffer = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(buffer >>> bits) & 31];
    }
    buffer &= (1 << bits) - 1;
  }
  return text;
}

function decodeSuffix(suffix: string): Uint8Array {
  const bytes = new Uint8Array(16);
  let index = 0;
  let bits = -2;
  let buffer = 0;
  for (const character of suffix) {
    buffer = (buffer << 5) | alphabet.indexOf(character);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[index] = (buffer >>> bits) & 255;
      index += 1;
    }
    buffer &= (1 << Math.max(bits, 0)) - 1;
  }
  return bytes;
}

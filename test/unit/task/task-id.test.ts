import * as fc from "fast-check";
import { expect, test } from "vitest";

import { createTaskIds, taskIdFromKey, taskKeyFromId } from "../../../src/task/task-id.ts";

const ids = createTaskIds(new Uint8Array(32).fill(7));
const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);

test("an id that was made is taken apart into what it was made of", () => {
  fc.assert(
    fc.property(name, name, fc.nat({ max: 2 ** 47 }), (namespace, queue, nowMs) => {
      const key = ids.create({ namespace, queue, nowMs });
      expect(taskKeyFromId(namespace, taskIdFromKey(key))).toEqual(key);
      expect(ids.isOurs(key)).toBe(true);
    }),
  );
});

test("ids made later sort later", () => {
  const suffixes = [1, 2, 1_000, 2 ** 32, 2 ** 40].map(
    (nowMs) => ids.create({ namespace: "n", queue: "q", nowMs }).suffix,
  );
  expect(suffixes.toSorted()).toEqual(suffixes);
});

test("an id carries its time and version as a UUIDv7 does", () => {
  const { suffix } = ids.create({ namespace: "n", queue: "q", nowMs: 0x0123_4567_89ab });
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  const value = Array.from(suffix).reduce((sum, character) => sum * 32n + BigInt(alphabet.indexOf(character)), 0n);
  expect(value >> 80n).toBe(0x0123_4567_89abn);
  expect((value >> 76n) & 15n).toBe(7n);
  expect((value >> 62n) & 3n).toBe(2n);
});

test("the same request names the same task, and any other request another", () => {
  fc.assert(
    fc.property(name, name, fc.stringMatching(/^[\x21-\x7e]{1,128}$/), (namespace, queue, requestId) => {
      const key = ids.forRequest({ namespace, queue, requestId });
      expect(ids.forRequest({ namespace, queue, requestId })).toEqual(key);
      expect(ids.isOurs(key)).toBe(true);
      expect(ids.forRequest({ namespace, queue, requestId: `${requestId}x` }).suffix).not.toBe(key.suffix);
      expect(ids.forRequest({ namespace: `${namespace}x`, queue, requestId }).suffix).not.toBe(key.suffix);
    }),
  );
});

test("an id of another namespace, queue or deployment is not ours", () => {
  const key = ids.create({ namespace: "n", queue: "q", nowMs: 1 });
  expect(ids.isOurs({ ...key, namespace: "other" })).toBe(false);
  expect(ids.isOurs({ ...key, queue: "other" })).toBe(false);
  expect(createTaskIds(new Uint8Array(32).fill(8)).isOurs(key)).toBe(false);
});

test("a changed character makes an id that is not ours", () => {
  const key = ids.create({ namespace: "n", queue: "q", nowMs: 1_700_000_000_000 });
  for (let index = 0; index < 26; index += 1) {
    const changed = key.suffix[index] === "1" ? "2" : "1";
    expect(ids.isOurs({ ...key, suffix: key.suffix.slice(0, index) + changed + key.suffix.slice(index + 1) })).toBe(
      false,
    );
  }
});

test.each([
  "",
  "_",
  "q",
  "q_",
  "_01ARZ3NDEKTSV4RRFFQ69G5FAV",
  "q_01ARZ3NDEKTSV4RRFFQ69G5FA",
  "q_91ARZ3NDEKTSV4RRFFQ69G5FAV",
  "q_01ARZ3NDEKTSV4RRFFQ69G5FAU",
  "q.x_01ARZ3NDEKTSV4RRFFQ69G5FAV",
  "q*_01ARZ3NDEKTSV4RRFFQ69G5FAV",
  "q>_01ARZ3NDEKTSV4RRFFQ69G5FAV",
  "q 1_01ARZ3NDEKTSV4RRFFQ69G5FAV",
  "q_01arz3ndektsv4rrffq69g5fav",
  `${"q".repeat(65)}_01ARZ3NDEKTSV4RRFFQ69G5FAV`,
])("%j cannot be an id", (id) => {
  expect(taskKeyFromId("n", id)).toBeUndefined();
});

test("a secret that is too short is refused", () => {
  expect(() => createTaskIds(new Uint8Array(15))).toThrow(RangeError);
});

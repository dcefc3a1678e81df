import * as fc from "fast-check";
import { expect, test } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { PositionSet } from "../../../src/operations/position-set.ts";
import {
  createTokenWriter,
  readResumeToken,
  resumeScope,
  resumeTokenForSubmitted,
} from "../../../src/operations/resume-token.ts";
import { taskIdFromKey } from "../../../src/task/task-id.ts";
import { modelTask } from "../../support/view-model.ts";

const positions = fc.uniqueArray(fc.nat(999), { maxLength: 1_000 });

function setOf(members: readonly number[]): PositionSet {
  const set = new PositionSet();
  for (const member of members) set.add(member);
  return set;
}

test("a set of positions has what was added and not deleted, also by way of its bytes", () => {
  fc.assert(
    fc.property(positions, positions, (added, deleted) => {
      const set = setOf(added);
      for (const member of deleted) set.delete(member);
      const expected = added.filter((member) => !deleted.includes(member));
      for (const read of [set, new PositionSet(set.bytes)]) {
        expect(read.size).toBe(expected.length);
        expect(Array.from({ length: 1_000 }, (_, index) => index).filter((index) => read.has(index))).toEqual(
          expected.toSorted((a, b) => a - b),
        );
      }
      expect(set.bytes.at(-1) ?? 1).not.toBe(0);
    }),
  );
});

test("a token says what it was written with", () => {
  const revision = fc.oneof(fc.nat(), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 64n - 1n), revision, fc.nat(), positions, (epoch, at, change, members) => {
      const scope = resumeScope(epoch, "ns", ["a", "b"]);
      const sets = { behind: setOf(members), scheduled: setOf([]), ended: setOf(members.slice(1)) };
      const token = createTokenWriter(scope)({ revision: at, change, ...sets });
      expect(token.length).toBeLessThan(4_096);
      const read = readResumeToken(token, scope, 1_000);
      expect(read.revision).toBe(at);
      expect([...read.behind.bytes]).toEqual([...sets.behind.bytes]);
      expect([...read.ended.bytes]).toEqual([...sets.ended.bytes]);
      expect(read.scheduled.size).toBe(0);
      const single = createTokenWriter(scope)({ revision: at, change, ...sets, behind: setOf([]), ended: setOf([0]) });
      expect(readResumeToken(single, scope, 1).change).toBe(change);
    }),
  );
});

test.each(["", "!!!", "AAAA", "CAEQAQ", "ÿþ", "x".repeat(4_096), Buffer.alloc(64, 9).toString("base64url")])(
  "garbage is no token: %s",
  (token) => {
    expect(() => readResumeToken(token, resumeScope(1n, "ns", ["a"]), 1)).toThrow(
      expect.objectContaining({ reason: "RESUME_TOKEN_INVALID" }),
    );
  },
);

test("a token is good for the same tasks of the same namespace in the same store only", () => {
  const point = { revision: 5, change: 0, behind: setOf([]), scheduled: setOf([]), ended: setOf([]) };
  const token = createTokenWriter(resumeScope(1n, "ns", ["a", "b"]))(point);
  const read = (scope: Parameters<typeof readResumeToken>[1]) => () => readResumeToken(token, scope, 2);
  expect(read(resumeScope(1n, "ns", ["a", "b"]))).not.toThrow();
  for (const other of [resumeScope(1n, "other", ["a", "b"]), resumeScope(1n, "ns", ["a", "c"])]) {
    expect(read(other)).toThrow(expect.objectContaining({ reason: "RESUME_TOKEN_INVALID" }));
  }
  expect(read(resumeScope(2n, "ns", ["a", "b"]))).toThrow(expect.objectContaining({ reason: "STORE_REPLACED" }));
});

test("a token that speaks of more tasks than are watched is refused", () => {
  const scope = resumeScope(1n, "ns", ["a"]);
  const token = (last: number) =>
    createTokenWriter(scope)({
      revision: 5,
      change: 0,
      behind: setOf([]),
      scheduled: setOf([]),
      ended: setOf([0, last]),
    });
  for (const length of [1, 3, 7, 8, 9, 16, 1_000]) {
    expect(readResumeToken(token(length - 1), scope, length).ended.has(length - 1)).toBe(true);
    for (const beyond of [length, length + 9]) {
      expect(() => readResumeToken(token(beyond), scope, length)).toThrow(
        expect.objectContaining({ reason: "RESUME_TOKEN_INVALID" }),
      );
    }
  }
});

test("the token of a submitted task says how it was seen", () => {
  const { key } = modelTask();
  const status = { key, revision: 0, state: TaskState.SCHEDULED, change: 1, expireMs: 0, bytes: new Uint8Array(0) };
  const scope = resumeScope(7n, "ns", [taskIdFromKey(key)]);
  const scheduled = readResumeToken(resumeTokenForSubmitted(7n, status), scope, 1);
  expect([scheduled.revision, scheduled.change, scheduled.scheduled.has(0)]).toEqual([0, 1, true]);
  const ended = { ...status, revision: 9, change: 4, state: TaskState.SUCCEEDED };
  const duplicate = readResumeToken(resumeTokenForSubmitted(7n, ended), scope, 1);
  expect([duplicate.revision, duplicate.change, duplicate.scheduled.has(0), duplicate.ended.has(0)]).toEqual([
    9,
    4,
    false,
    true,
  ]);
});

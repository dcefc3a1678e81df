import { create, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { RecordHeadSchema, TaskRecordSchema } from "../../../src/gen/taskwatch/storage/v1/record_pb.ts";
import type { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { readFollowedRecord } from "../../../src/nats/followed-record.ts";

test("what followers need of a record is read as a full decode reads it", () => {
  const record = fc.record({
    state: fc.integer({ min: 0, max: 9 }),
    change: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    attempt: fc.nat(),
    attemptToken: fc.bigInt(0n, 2n ** 64n - 1n),
    expireMs: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    retryMs: fc.bigInt(0n, 2n ** 62n),
    fingerprint: fc.uint8Array({ maxLength: 20 }),
    status: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  });
  fc.assert(
    fc.property(record, ({ state, change, expireMs, status, ...rest }) => {
      const immutableLength = Math.floor(status.length / 2);
      const fields = { state: state as TaskState, change, immutableLength };
      const head = create(RecordHeadSchema, { ...rest, ...fields, expireMs: BigInt(expireMs) });
      const data = toBinary(TaskRecordSchema, create(TaskRecordSchema, { head, status }));
      const read = readFollowedRecord(data);
      expect({ ...read, bytes: [...read.bytes] }).toEqual({ ...fields, expireMs, bytes: [...status] });
    }),
  );
});

test.each([
  { what: "nothing", data: new Uint8Array(0) },
  { what: "garbage", data: Buffer.from("garbage") },
  { what: "no status", data: toBinary(TaskRecordSchema, create(TaskRecordSchema, { head: {} })) },
  {
    what: "a time that cannot be",
    data: toBinary(TaskRecordSchema, create(TaskRecordSchema, { head: { expireMs: -1n }, status: Uint8Array.of(1) })),
  },
  {
    what: "more of an immutable part than there is",
    data: toBinary(
      TaskRecordSchema,
      create(TaskRecordSchema, { head: { immutableLength: 2 }, status: Uint8Array.of(1) }),
    ),
  },
])("what is no record of ours is refused: $what", ({ data }) => {
  expect(() => readFollowedRecord(data)).toThrow(RangeError);
});

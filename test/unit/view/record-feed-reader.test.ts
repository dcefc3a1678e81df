import { create, toBinary } from "@bufbuild/protobuf";
import { headers, type Msg, type MsgHdrs } from "@nats-io/transport-node";
import { expect, test } from "vitest";

import { TaskRecordSchema } from "../../../src/gen/taskwatch/storage/v1/record_pb.ts";
import { RecordFeedReader } from "../../../src/nats/record-feed-reader.ts";

const data = toBinary(TaskRecordSchema, create(TaskRecordSchema, { head: { state: 3 }, status: Uint8Array.of(10, 0) }));
const writtenNanos = 1_763_800_000_000_000_000;

/** A reader, and everything that it does, in order. */
function openReader({ headRevision = 0, appliedRevision = 0, holdsOld = false } = {}) {
  const done: string[] = [];
  const note = (what: string) => () => void done.push(what);
  const reader = new RecordFeedReader({
    headRevision,
    appliedRevision,
    publish: (subject) => done.push(`publish ${subject}`),
    onApplied: () => undefined,
    onEmptied: note("emptied"),
    end: (why) => done.push(`end: ${why}`),
    events: {
      onRecord: ({ revision, key, writtenMs }) => done.push(`record ${revision} ${key.suffix} ${writtenMs / 1e12}`),
      onRemoved: (_key, revision) => done.push(`removed ${revision}`),
      onCaughtUp: (revision) => done.push(`caught up ${revision}`),
      onProof: note("proof"),
      onFloor: (firstRevision) => {
        done.push(`floor ${firstRevision}`);
        return holdsOld;
      },
      onReplaced: note("replaced"),
      onRestart: note("restart"),
      onTrouble: (what) => done.push(what),
    },
  });
  const send = (message: { subject?: string; reply?: string; data?: Uint8Array; headers?: MsgHdrs }) => {
    const respond = note(`respond ${message.reply ?? ""}`);
    reader.onMessage({ subject: "inbox", data: new Uint8Array(0), ...message, respond } as unknown as Msg);
  };
  return {
    done,
    reader,
    record: (revision: number, consumerSequence: number, value: Uint8Array = data) => {
      const reply = `$JS.ACK.KV_TASKWATCH.c.1.${revision}.${consumerSequence}.${writtenNanos}.0`;
      send({ subject: "$KV.TASKWATCH.q.ns.s", reply, data: value });
    },
    recordV2: (revision: number, consumerSequence: number) => {
      const reply = `$JS.ACK._.hash.KV_TASKWATCH.c.1.${revision}.${consumerSequence}.${writtenNanos}.0.token`;
      send({ subject: "$KV.TASKWATCH.q.ns.s", reply, data });
    },
    heartbeat: (consumerSequence: number, revision: number, more: Record<string, string> = {}) => {
      const fields = headers(100, "Idle Heartbeat");
      fields.set("Nats-Last-Consumer", String(consumerSequence));
      fields.set("Nats-Last-Stream", String(revision));
      for (const [name, value] of Object.entries(more)) fields.set(name, value);
      send({ headers: fields });
    },
    flowControl: (reply: string) => {
      send({ headers: headers(100, "FlowControl Request"), reply });
    },
  };
}

test("has caught up with the revision that was the last one at the beginning, and not before", () => {
  const { done, record } = openReader({ headRevision: 3 });
  record(1, 1);
  record(3, 2);
  record(4, 3);
  expect(done).toEqual([
    "record 1 s 1.7638",
    "record 3 s 1.7638",
    "caught up 3",
    "proof",
    "record 4 s 1.7638",
    "proof",
  ]);
});

test("reads either version of the reply subject", () => {
  const { done, recordV2 } = openReader({ headRevision: 7 });
  recordV2(7, 1);
  expect(done.slice(0, 2)).toEqual(["record 7 s 1.7638", "caught up 7"]);
});

test("has caught up with what is not stored any more as soon as the consumer has looked there", () => {
  const { done, record, heartbeat } = openReader({ headRevision: 9 });
  record(2, 1);
  heartbeat(1, 5);
  heartbeat(1, 9);
  heartbeat(1, 9);
  heartbeat(1, 12);
  expect(done).toEqual(["record 2 s 1.7638", "caught up 9", "proof", "proof", "caught up 12", "proof"]);
});

test.each([
  { what: "a record", lose: (reader: ReturnType<typeof openReader>) => reader.record(5, 3) },
  { what: "a heartbeat", lose: (reader: ReturnType<typeof openReader>) => reader.heartbeat(2, 5) },
])("ends when $what shows that something is missing, and reads nothing more", ({ lose }) => {
  const opened = openReader({ headRevision: 1 });
  opened.record(1, 1);
  opened.done.length = 0;
  lose(opened);
  opened.record(2, 2);
  expect(opened.done).toEqual(["end: messages were lost"]);
});

test("answers flow control in its place, also where the request itself went missing", () => {
  const { done, record, flowControl, heartbeat } = openReader({ headRevision: 5 });
  record(1, 1);
  flowControl("$JS.FC.1");
  heartbeat(1, 1, { "Nats-Consumer-Stalled": "$JS.FC.2" });
  expect(done).toEqual(["record 1 s 1.7638", "respond $JS.FC.1", "publish $JS.FC.2"]);
});

test("tells of deletions, and passes over what is no record of ours", () => {
  const { done, record } = openReader({ headRevision: 3 });
  record(1, 1, new Uint8Array(0));
  record(2, 2, Buffer.from("garbage"));
  record(3, 3);
  expect(done.slice(0, 4)).toEqual(["removed 1", "record is unreadable", "record 3 s 1.7638", "caught up 3"]);
});

test("asks what is known from before the first revision, once everything up to the last was told", () => {
  const { done, reader, record } = openReader({ headRevision: 1, holdsOld: true });
  reader.checkFloor(1, 1);
  record(1, 1);
  expect(done.slice(-2)).toEqual(["floor 1", "emptied"]);

  const later = openReader({ headRevision: 1 });
  later.record(1, 1);
  later.reader.checkFloor(3, 4);
  later.record(3, 2);
  expect(later.done).not.toContain("floor 3");
  later.record(4, 3);
  expect(later.done.at(-1)).toBe("floor 3");
});

import { create, fromBinary, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { SubmissionEncoder } from "../../../src/client/submit/submission-encoder.ts";
import { ContentSchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { SubmitTaskRequestSchema } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";

const decode = (bytes: Uint8Array) => fromBinary(SubmitTaskRequestSchema, bytes);

describe("SubmissionEncoder", () => {
  it("writes what the library would write", () => {
    const encoder = new SubmissionEncoder();
    const text = fc.string({ unit: "grapheme" });
    const payload = fc.option(fc.oneof(fc.jsonValue() as fc.Arbitrary<JsonValue>, fc.uint8Array()), { nil: undefined });
    const labels = fc.option(fc.dictionary(text, text, { noNullPrototype: true }), { nil: undefined });
    fc.assert(
      fc.property(fc.record({ queue: text, type: text, payload, labels }), text, (submission, requestId) => {
        const { queue, type } = submission;
        const wanted = create(SubmitTaskRequestSchema, { queue, type, requestId, labels: { ...submission.labels } });
        if (submission.payload instanceof Uint8Array) {
          wanted.payload = create(ContentSchema, { value: { case: "data", value: submission.payload } });
        } else if (submission.payload !== undefined) {
          const value = fromJson(ValueSchema, submission.payload);
          wanted.payload = create(ContentSchema, { value: { case: "json", value } });
        }
        const encoded = decode(encoder.encode(submission, requestId));
        expect(toJson(SubmitTaskRequestSchema, encoded)).toEqual(toJson(SubmitTaskRequestSchema, wanted));
      }),
    );
  });

  it("keeps nothing of a submission that it could not write", () => {
    const encoder = new SubmissionEncoder();
    const bad = { queue: "bad", type: "bad", payload: { deep: [Number.NaN] } };
    expect(() => encoder.encode(bad, "bad")).toThrow("payload.deep[0]");
    expect(decode(encoder.encode({ queue: "q", type: "t" }, "r"))).toMatchObject({ queue: "q", requestId: "r" });
  });

  it("keeps no hold on what it returned", () => {
    const encoder = new SubmissionEncoder();
    const first = encoder.encode({ queue: "q", type: "first", payload: new Uint8Array(100_000) }, "1");
    encoder.encode({ queue: "q", type: "second" }, "2");
    const third = encoder.encode({ queue: "q", type: "third" }, "3");
    encoder.encode({ queue: "q", type: "fourth" }, "4");
    expect(decode(first)).toMatchObject({ type: "first", requestId: "1" });
    expect(decode(third)).toMatchObject({ type: "third", requestId: "3" });
  });
});

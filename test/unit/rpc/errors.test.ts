import { fromBinary, type JsonObject, toJson } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../src/gen/google/rpc/status_pb.ts";
import {
  codeOf,
  codeOfReason,
  connectErrorFrom,
  itemErrorFrom,
  messageOf,
  statusBytes,
  taskErrorFromLibrary,
} from "../../../src/rpc/answers/errors.ts";
import { type Reason, reasons, TaskError } from "../../../src/task/errors.ts";

const schemas = [ErrorInfoSchema, BadRequestSchema, RetryInfoSchema];

function detailsOf(error: TaskError): JsonObject[] {
  return fromBinary(StatusSchema, statusBytes(error)).details.map((any) => {
    const schema = schemas.find(({ typeName }) => any.typeUrl.endsWith(`/${typeName}`))!;
    return { type: schema.typeName, ...(toJson(schema, anyUnpack(any, schema)!) as JsonObject) };
  });
}

describe("an error on the wire", () => {
  test.each(Object.keys(reasons) as Reason[])("with reason %s has exactly one ErrorInfo, and a code", (reason) => {
    const error = new TaskError(reason, "text");
    expect(detailsOf(error)).toEqual([{ type: "google.rpc.ErrorInfo", reason, domain: "taskwatch.dev" }]);
    expect(codeOf(error)).toBe(codeOfReason[reason]);
    expect(fromBinary(StatusSchema, statusBytes(error))).toMatchObject({ code: codeOf(error), message: "text" });
  });

  test("only what may be repeated blindly is UNAVAILABLE", () => {
    const unavailable = Object.entries(codeOfReason).filter(([, code]) => code === Code.Unavailable);
    expect(unavailable.map(([reason]) => reason).toSorted()).toEqual([
      "DRAINING",
      "NOT_READY",
      "OUTCOME_UNKNOWN",
      "STORE_UNAVAILABLE",
    ]);
  });

  test("names fields, carries metadata and says when to come back", () => {
    const error = new TaskError("REQUEST_INVALID", "no", {
      fields: [{ field: "retry_policy.max_attempts", description: "too many", rule: "UINT32_LTE" }],
      metadata: { task_id: "a_b" },
      retryDelayMs: 1_250,
    });
    expect(detailsOf(error)).toEqual([
      {
        type: "google.rpc.ErrorInfo",
        reason: "REQUEST_INVALID",
        domain: "taskwatch.dev",
        metadata: { task_id: "a_b" },
      },
      {
        type: "google.rpc.BadRequest",
        fieldViolations: [{ field: "retry_policy.max_attempts", description: "too many", reason: "UINT32_LTE" }],
      },
      { type: "google.rpc.RetryInfo", retryDelay: "1.250s" },
    ]);
  });

  test("is the same for Connect", () => {
    const error = new TaskError("RATE_LIMITED", "slow down", { retryDelayMs: 1_001 });
    const connectError = connectErrorFrom(error);
    expect(connectError).toMatchObject({ code: Code.ResourceExhausted, rawMessage: "slow down" });
    expect(connectError.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "RATE_LIMITED" }]);
    expect(connectError.findDetails(RetryInfoSchema)).toMatchObject([
      { retryDelay: { seconds: 1n, nanos: 1_000_000 } },
    ]);
    expect(connectError.metadata.get("retry-after")).toBe("2");
  });

  test("fits into headers, whatever it quotes", () => {
    const hostile = "💥".repeat(10_000);
    const error = new TaskError("REQUEST_INVALID", hostile, {
      fields: Array.from({ length: 1_000 }, () => ({ field: hostile, description: hostile, rule: "RULE" })),
      metadata: { task_id: hostile },
    });
    const details = Buffer.from(statusBytes(error)).toString("base64");
    expect(encodeURI(messageOf(error)).length + details.length).toBeLessThan(16_000);
    expect(messageOf(error).isWellFormed()).toBe(true);
    const [, badRequest] = detailsOf(error);
    expect(badRequest?.["fieldViolations"]).toContainEqual(expect.objectContaining({ reason: "RULE" }));
  });

  test("of one item of a batch names the first field", () => {
    const fields = [
      { field: "queue", description: "bad", rule: "STRING_PATTERN" },
      { field: "type", description: "bad", rule: "STRING_PATTERN" },
    ];
    expect(itemErrorFrom(new TaskError("REQUEST_INVALID", "queue: bad", { fields }))).toMatchObject({
      code: 3,
      reason: "REQUEST_INVALID",
      message: "queue: bad",
      field: "queue",
    });
  });
});

describe("what a library refuses by itself", () => {
  test.each([
    [Code.ResourceExhausted, "request", "MESSAGE_TOO_LARGE"],
    [Code.ResourceExhausted, "response", "RESPONSE_TOO_LARGE"],
    [Code.Internal, "request", "REQUEST_INVALID"],
    [Code.InvalidArgument, "request", "REQUEST_INVALID"],
    [Code.Internal, "response", "INTERNAL"],
    [Code.Unimplemented, "request", "NOT_IMPLEMENTED"],
    [Code.DeadlineExceeded, "request", "DEADLINE_EXCEEDED"],
    [Code.DeadlineExceeded, "response", "DEADLINE_EXCEEDED"],
    [Code.Canceled, "response", "CALL_CANCELLED"],
  ] as const)("with code %i in the %s is %s", (code, stage, reason) => {
    expect(taskErrorFromLibrary({ code, stage, message: "text" }).reason).toBe(reason);
  });

  test("never shows a text about our own failure", () => {
    const error = taskErrorFromLibrary({ code: Code.Internal, stage: "response", message: "secret" });
    expect(error.message).toBe("internal error");
  });
});

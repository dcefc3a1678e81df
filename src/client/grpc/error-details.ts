import { fromBinary } from "@bufbuild/protobuf";
import { type Any, anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import type { ItemError } from "../../gen/taskwatch/v1/task_service_pb.ts";
import { codeFromNumber, TaskwatchError, type TaskwatchErrorOptions } from "../taskwatch-error.ts";

/** How a call ended, as a transport tells it. */
export interface CallStatus {
  /** The number of the gRPC status code. */
  readonly code: number;
  readonly message: string;
  /** The encoded google.rpc.Status, if one came along. */
  readonly details?: Uint8Array | undefined;
  readonly cause?: unknown;
}

/** The error of a call that failed. Details that cannot be read are left out: the code still counts. */
export function errorFromStatus({ code, message, details, cause }: CallStatus): TaskwatchError {
  return new TaskwatchError(codeFromNumber(code), message, {
    ...(details === undefined ? {} : parseDetails(details)),
    cause,
  });
}

/** The error of one item of a batch. */
export function errorFromItem({ code, reason, message, field, metadata }: ItemError): TaskwatchError {
  return new TaskwatchError(codeFromNumber(code), message, {
    reason: reason === "" ? undefined : reason,
    fields: field === "" ? [] : [{ field, description: message, rule: "" }],
    metadata,
  });
}

type Details = Pick<TaskwatchErrorOptions, "fields" | "metadata" | "reason" | "retryDelayMs">;

function parseDetails(bytes: Uint8Array): Details {
  try {
    return readDetails(fromBinary(StatusSchema, bytes).details);
  } catch {
    // Written by something between us and the service; the status code itself is beyond doubt.
    return {};
  }
}

function readDetails(details: readonly Any[]): Details {
  const info = find(details, ErrorInfoSchema);
  const retryDelay = find(details, RetryInfoSchema)?.retryDelay;
  const violations = find(details, BadRequestSchema)?.fieldViolations ?? [];
  return {
    reason: info?.reason,
    metadata: info?.metadata ?? {},
    fields: violations.map(({ field, description, reason }) => ({ field, description, rule: reason })),
    retryDelayMs: retryDelay === undefined ? undefined : durationMs(retryDelay),
  };
}

type DetailSchema = typeof ErrorInfoSchema | typeof RetryInfoSchema | typeof BadRequestSchema;

function find<Schema extends DetailSchema>(details: readonly Any[], schema: Schema) {
  for (const detail of details) {
    const message = anyUnpack(detail, schema);
    if (message !== undefined) return message;
  }
  return undefined;
}

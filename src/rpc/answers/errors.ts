import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

import {
  type BadRequest_FieldViolation,
  BadRequest_FieldViolationSchema,
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { type ItemError, ItemErrorSchema } from "../../gen/taskwatch/v1/task_service_pb.ts";
import { type FieldViolation, type Reason, TaskError, type TaskErrorOptions } from "../../task/errors.ts";
import { maxMessageBytes } from "../limits.ts";

/** The `domain` of every ErrorInfo. */
export const errorDomain = "taskwatch.dev";

/** The gRPC status code of each reason. Part of the API: a reason never changes its code. */
export const codeOfReason = {
  REQUEST_INVALID: Code.InvalidArgument,
  PAGE_TOKEN_INVALID: Code.InvalidArgument,
  RESUME_TOKEN_INVALID: Code.InvalidArgument,
  CREDENTIAL_MISSING: Code.Unauthenticated,
  CREDENTIAL_INVALID: Code.Unauthenticated,
  ROLE_MISSING: Code.PermissionDenied,
  TASK_NOT_FOUND: Code.NotFound,
  TASK_EXPIRED: Code.NotFound,
  QUEUE_NOT_FOUND: Code.NotFound,
  REQUEST_ID_REUSED: Code.AlreadyExists,
  TASK_ALREADY_ENDED: Code.FailedPrecondition,
  TASK_NOT_ENDED: Code.FailedPrecondition,
  TASK_NOT_RETRYABLE: Code.FailedPrecondition,
  RATE_LIMITED: Code.ResourceExhausted,
  QUEUE_LIMIT_REACHED: Code.ResourceExhausted,
  WATCH_LIMIT_REACHED: Code.ResourceExhausted,
  SLOW_READER: Code.ResourceExhausted,
  RESPONSE_TOO_LARGE: Code.ResourceExhausted,
  MESSAGE_TOO_LARGE: Code.ResourceExhausted,
  STORE_FULL: Code.ResourceExhausted,
  WINDOW_PASSED: Code.OutOfRange,
  STORE_REPLACED: Code.DataLoss,
  STORE_UNAVAILABLE: Code.Unavailable,
  OUTCOME_UNKNOWN: Code.Unavailable,
  NOT_READY: Code.Unavailable,
  DRAINING: Code.Unavailable,
  CONFLICT: Code.Aborted,
  NOT_IMPLEMENTED: Code.Unimplemented,
  CALL_CANCELLED: Code.Canceled,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  INTERNAL: Code.Internal,
} as const satisfies Record<Reason, Code>;

/** The gRPC status code of an error. */
export function codeOf(error: TaskError): Code {
  return codeOfReason[error.reason];
}

/** The encoded google.rpc.Status of an error: what gRPC sends as `grpc-status-details-bin`. */
export function statusBytes(error: TaskError): Uint8Array {
  return toBinary(
    StatusSchema,
    create(StatusSchema, {
      code: codeOf(error),
      message: messageOf(error),
      details: detailsOf(error).map(({ desc, value }) => anyPack(desc, create(desc, value))),
    }),
  );
}

/** The same error for Connect and gRPC-Web. */
export function connectErrorFrom(error: TaskError): ConnectError {
  const delayMs = error.retryDelayMs;
  const headers =
    delayMs === undefined ? undefined : { "retry-after": String(Math.max(1, Math.ceil(delayMs / 1_000))) };
  return new ConnectError(messageOf(error), codeOf(error), headers, detailsOf(error), error.cause);
}

/** The same error for one item of a batch. */
export function itemErrorFrom(error: TaskError): ItemError {
  return create(ItemErrorSchema, {
    code: codeOf(error),
    reason: error.reason,
    message: messageOf(error),
    field: error.fields[0]?.field ?? "",
    metadata: metadataOf(error),
  });
}

/** The text that callers see: bounded, and fit for an HTTP header. */
export function messageOf(error: TaskError): string {
  return clip(error.message, maxMessageLength);
}

/**
 * What a transport's library found wrong by itself, in our terms. In the "request" stage the call has not been handed to
 * us yet, so whatever is wrong is wrong with what came in.
 */
export function taskErrorFromLibrary(status: {
  readonly code: Code;
  readonly message: string;
  readonly stage: "request" | "response";
  readonly cause?: unknown;
}): TaskError {
  const { code, message, stage, cause } = status;
  const options: TaskErrorOptions = cause === undefined ? {} : { cause };
  switch (code) {
    case Code.DeadlineExceeded:
      return new TaskError("DEADLINE_EXCEEDED", "deadline exceeded", options);
    case Code.Canceled:
    case Code.Aborted:
      return new TaskError("CALL_CANCELLED", "call cancelled", options);
    case Code.ResourceExhausted:
      return stage === "request"
        ? new TaskError("MESSAGE_TOO_LARGE", `message is larger than ${maxMessageBytes} bytes`, options)
        : new TaskError("RESPONSE_TOO_LARGE", `answer is larger than ${maxMessageBytes} bytes`, options);
    default:
      if (stage === "response") return new TaskError("INTERNAL", "internal error", options);
      if (code === Code.Unimplemented) return new TaskError("NOT_IMPLEMENTED", message, options);
      return requestUnreadable(message, cause);
  }
}

/** The error for a request that is not a message of its type at all, so that no field can be named. */
export function requestUnreadable(description: string, cause?: unknown): TaskError {
  return new TaskError("REQUEST_INVALID", `request cannot be read: ${description}`, {
    fields: [{ field: "", description, rule: "UNREADABLE" }],
    ...(cause === undefined ? {} : { cause }),
  });
}

/*
 * All of an error travels in headers, and clients give up on more than about 8 KiB of them. What callers wrote comes back in
 * it, so each part is bounded.
 */
const maxMessageLength = 512;
const maxFieldLength = 128;
const maxDescriptionLength = 256;
const maxMetadataLength = 256;
const maxViolationBytes = 2_048;

interface Detail {
  readonly desc: DescMessage;
  readonly value: MessageInitShape<DescMessage>;
}

function detailsOf(error: TaskError): Detail[] {
  const { fields, reason, retryDelayMs } = error;
  const details: Detail[] = [detail(ErrorInfoSchema, { reason, domain: errorDomain, metadata: metadataOf(error) })];
  if (fields.length > 0) details.push(detail(BadRequestSchema, { fieldViolations: violationsOf(fields) }));
  if (retryDelayMs !== undefined) details.push(detail(RetryInfoSchema, { retryDelay: durationFromMs(retryDelayMs) }));
  return details;
}

function detail<Desc extends DescMessage>(desc: Desc, value: MessageInitShape<Desc>): Detail {
  return { desc, value };
}

function violationsOf(fields: readonly FieldViolation[]): BadRequest_FieldViolation[] {
  const violations: BadRequest_FieldViolation[] = [];
  let bytes = 0;
  for (const { field, description, rule } of fields) {
    const violation = create(BadRequest_FieldViolationSchema, {
      field: clip(field, maxFieldLength),
      description: clip(description, maxDescriptionLength),
      reason: rule,
    });
    bytes += toBinary(BadRequest_FieldViolationSchema, violation).length;
    if (bytes > maxViolationBytes && violations.length > 0) break;
    violations.push(violation);
  }
  return violations;
}

function metadataOf(error: TaskError): Record<string, string> {
  return Object.fromEntries(
    Object.entries(error.metadata).map(([key, value]) => [key, clip(value, maxMetadataLength)]),
  );
}

function clip(text: string, maxLength: number): string {
  // A pair of surrogates may have been cut in two, which no header could carry.
  return (text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text).toWellFormed();
}

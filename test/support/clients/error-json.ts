import { fromBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { codeFromString } from "@connectrpc/connect/protocol-connect";

import { BadRequestSchema, ErrorInfoSchema } from "../../../src/gen/google/rpc/error_details_pb.ts";
import type { ErrorJson } from "./scenario-client.ts";

/** An error as Connect writes it in JSON, its details decoded. */
export function errorFromConnectJson(json: Readonly<Record<string, unknown>>): ErrorJson & {
  readonly metadata: Readonly<Record<string, string>>;
} {
  const details = (json["details"] ?? []) as { readonly type: string; readonly value: string }[];
  const bytesOf = (type: string) => Buffer.from(details.find((detail) => detail.type === type)?.value ?? "", "base64");
  const { reason, metadata } = fromBinary(ErrorInfoSchema, bytesOf("google.rpc.ErrorInfo"));
  const { fieldViolations } = fromBinary(BadRequestSchema, bytesOf("google.rpc.BadRequest"));
  const fields = [...new Set(fieldViolations.map(({ field }) => field))];
  return { code: codeFromString(String(json["code"])) ?? Code.Unknown, reason, fields, metadata };
}

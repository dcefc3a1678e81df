import { createHash } from "node:crypto";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import { PageTokenSchema } from "../gen/taskwatch/storage/v1/record_pb.ts";
import { TaskError } from "../task/errors.ts";
import type { ListPosition, TaskFilter } from "../view/task-query.ts";

/** The token for the page of the list that begins after `position`. */
export function writePageToken(position: ListPosition, filter: TaskFilter): string {
  const { createMs, taskId } = position;
  const token = create(PageTokenSchema, { createMs: BigInt(createMs), taskId, scope: scopeOf(filter) });
  return Buffer.from(toBinary(PageTokenSchema, token)).toString("base64url");
}

/** Reads the token of a list. Throws PAGE_TOKEN_INVALID for garbage, and for the token of another list. */
export function readPageToken(token: string, filter: TaskFilter): ListPosition {
  const { createMs, taskId, scope } = decode(token);
  if (scope !== scopeOf(filter)) throw invalidToken();
  return { createMs: Number(createMs), taskId };
}

function decode(token: string) {
  try {
    return fromBinary(PageTokenSchema, Buffer.from(token, "base64url"));
  } catch (cause) {
    throw invalidToken(cause);
  }
}

/** Stands for what is listed, whatever the order in which it was asked for. */
function scopeOf({ namespace, queues, types, states, labels, fromMs, beforeMs }: TaskFilter): bigint {
  const sorted = [queues, types, states, labels].map((wanted) => wanted.map(String).toSorted());
  const parts = [namespace, ...sorted, fromMs, beforeMs];
  return createHash("sha256").update(JSON.stringify(parts)).digest().readBigUInt64LE(0);
}

function invalidToken(cause?: unknown): TaskError {
  const description = "must be the next_page_token of a page of the same list";
  return new TaskError("PAGE_TOKEN_INVALID", `page_token: ${description}`, {
    fields: [{ field: "page_token", description, rule: "PAGE_TOKEN_INVALID" }],
    cause,
  });
}

import { WireType } from "@bufbuild/protobuf/wire";

import { SubmitTasksRequestSchema } from "../../gen/taskwatch/v1/task_service_pb.ts";

const tag = (SubmitTasksRequestSchema.field.requests.number << 3) | WireType.LengthDelimited;

/** The most that an item adds to a request besides its own bytes: the tag and its length. */
export const itemOverheadBytes = 6;

/** An encoded SubmitTasksRequest of encoded SubmitTaskRequests, so that no task is encoded twice. */
export function frameRequests(requests: readonly Uint8Array[]): Uint8Array {
  const frame = new Uint8Array(requests.reduce((sum, { length }) => sum + length + itemOverheadBytes, 0));
  let end = 0;
  for (const request of requests) {
    frame[end++] = tag;
    let rest = request.length;
    for (; rest > 0x7f; rest >>>= 7) frame[end++] = (rest & 0x7f) | 0x80;
    frame[end++] = rest;
    frame.set(request, end);
    end += request.length;
  }
  return frame.subarray(0, end);
}

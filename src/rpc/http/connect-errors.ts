/** What the Connect library answers by itself has no details. Here it gets them, so that all errors look alike. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { createAsyncIterable, encodeEnvelope } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  createEndStreamSerialization,
  endStreamFlag,
  errorFromJsonBytes,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse } from "@connectrpc/connect/protocol-grpc-web";

import { TaskError } from "../../task/errors.ts";
import { codeOf, connectErrorFrom, requestUnreadable, taskErrorFromLibrary } from "../answers/errors.ts";

/** An error as an answer in the protocol that the content type of the request names; plain JSON if it names none. */
export function errorResponse(error: TaskError, contentType: string, status?: number): UniversalServerResponse {
  const connectError = connectErrorFrom(error);
  if (contentType.startsWith("application/grpc-web")) {
    return { status: 200, header: setTrailerStatus(new Headers({ "content-type": contentType }), connectError) };
  }
  if (contentType.startsWith("application/connect+")) {
    const end = createEndStreamSerialization(undefined).serialize({ metadata: new Headers(), error: connectError });
    return {
      status: 200,
      header: new Headers({ "content-type": contentType }),
      body: createAsyncIterable([encodeEnvelope(endStreamFlag, end)]),
    };
  }
  const body = errorToJsonBytes(connectError, undefined);
  const header = new Headers(connectError.metadata);
  header.set("content-type", "application/json");
  header.set("content-length", String(body.byteLength));
  return { status: status ?? codeToHttpStatus(codeOf(error)), header, body: createAsyncIterable([body]) };
}

/** Why the library answered a unary call by itself. */
export async function libraryError(response: UniversalServerResponse): Promise<TaskError> {
  if (response.status === 405 || response.status === 505) {
    return new TaskError("NOT_IMPLEMENTED", "this HTTP method or version is not served here");
  }
  if (response.status === 415) return requestUnreadable("content type is not supported");
  const error = await readError(response);
  if (error === undefined) return requestUnreadable("not understood");
  return taskErrorFromLibrary({ code: error.code, message: error.rawMessage, stage: "request", cause: error });
}

async function readError({ body, header, status }: UniversalServerResponse): Promise<ConnectError | undefined> {
  const chunk = body === undefined ? undefined : await firstOf(body);
  if (chunk === undefined) return undefined;
  if (status === 200) return chunk[0] === trailerFlag ? findTrailerError(trailerParse(chunk.subarray(5))) : undefined;
  if (header?.has("content-encoding") ?? false) return undefined;
  return errorFromJsonBytes(chunk, undefined, new ConnectError("not understood", Code.InvalidArgument));
}

async function firstOf<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item;
  return undefined;
}

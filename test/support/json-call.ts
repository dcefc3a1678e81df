import { errorFromConnectJson } from "./clients/error-json.ts";

/** What a call by plain JSON over HTTP came to: the answer, or the error as Connect writes it. */
export interface JsonAnswer {
  readonly httpStatus: number;
  /** The gRPC status code in lower case, such as `invalid_argument`; undefined for OK. */
  readonly code: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
  /** The reason of the ErrorInfo. */
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that the BadRequest names, each once. */
  readonly fields: readonly string[];
}

/** Calls a method of TaskService as curl would. A string is sent as it is. */
export async function callJson(
  httpUrl: string,
  method: string,
  request: object | string,
  headers: Readonly<Record<string, string>> = {},
): Promise<JsonAnswer> {
  const response = await fetch(`${httpUrl}/taskwatch.v1.TaskService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof request === "string" ? request : JSON.stringify(request),
  });
  const body = (await response.json()) as Record<string, unknown>;
  const { reason, metadata, fields } = errorFromConnectJson(body);
  return {
    httpStatus: response.status,
    code: response.ok ? undefined : String(body["code"]),
    body,
    reason: reason === "" ? undefined : reason,
    metadata,
    fields,
  };
}

/** What a call by plain JSON over HTTP came to: the answer, or the error as Connect writes it. */
export interface JsonAnswer {
  readonly httpStatus: number;
  /** The gRPC status code in lower case, such as `invalid_argument`; undefined for OK. */
  readonly code: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
  /** The reason of the ErrorInfo. */
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that the BadRequest names. */
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
  const details = (body["details"] ?? []) as { readonly type: string; readonly debug?: Record<string, unknown> }[];
  const detail = (type: string) => details.find((found) => found.type === type)?.debug ?? {};
  const violations = (detail("google.rpc.BadRequest")["fieldViolations"] ?? []) as { readonly field: string }[];
  const info = detail("google.rpc.ErrorInfo") as {
    readonly reason?: string;
    readonly metadata?: Record<string, string>;
  };
  return {
    httpStatus: response.status,
    code: response.ok ? undefined : String(body["code"]),
    body,
    reason: info.reason,
    metadata: info.metadata ?? {},
    fields: violations.map(({ field }) => field),
  };
}

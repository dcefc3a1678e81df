import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type JsonObject,
  type MessageInitShape,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { type Any, anyUnpack, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";
import {
  TaskService,
  type WatchStatusRequestSchema,
  type WatchStatusResponse,
} from "../../src/gen/taskwatch/v1/task_service_pb.ts";

/** An error as every transport brings it. */
export interface CallError {
  readonly code: string;
  readonly message: string;
  /** The google.rpc details by type, as JSON. */
  readonly details: readonly JsonObject[];
}

/** What came of a call. */
export type Outcome = { readonly answer: JsonObject } | { readonly error: CallError };

/** What comes with a call besides its request. */
export interface RpcCallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A client that speaks one of the protocols. */
export interface RpcClient {
  readonly name: string;
  /** Whether it can make this call at all. */
  speaks(method: DescMethod): boolean;
  unary<Input extends DescMessage>(
    method: DescMethodUnary<Input>,
    request: MessageInitShape<Input>,
    options?: RpcCallOptions,
  ): Promise<Outcome>;
  /** Throws `WatchError` if the stream ends with one. */
  watch(
    request: MessageInitShape<typeof WatchStatusRequestSchema>,
    options?: RpcCallOptions,
  ): AsyncGenerator<WatchStatusResponse, void, undefined>;
  close(): void;
}

/** How a stream failed. */
export class WatchError extends Error {
  override readonly name = "WatchError";
  readonly error: CallError;

  constructor(error: CallError) {
    super(`${error.code}: ${error.message}`);
    this.error = error;
  }
}

/** Where the listeners are. */
export interface Listeners {
  /** `host:port` */
  readonly grpc: string;
  /** `http://host:port` */
  readonly http: string;
}

/** One client of each kind. */
export const rpcClients: Readonly<Record<string, (listeners: Listeners) => RpcClient>> = {
  "grpc-js": ({ grpc }) => createGrpcJsClient(grpc),
  "Connect, binary": ({ http }) =>
    createConnectClient("Connect, binary", createConnectTransport({ baseUrl: http, httpVersion: "1.1" })),
  "Connect, GET": ({ http }) => ({
    ...createConnectClient(
      "Connect, GET",
      createConnectTransport({ baseUrl: http, httpVersion: "1.1", useHttpGet: true, useBinaryFormat: false }),
    ),
    speaks: (method: DescMethod) => method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS,
  }),
  "gRPC-Web": ({ http }) =>
    createConnectClient("gRPC-Web", createGrpcWebTransport({ baseUrl: http, httpVersion: "1.1" })),
  "JSON by fetch": ({ http }) => createFetchClient(http),
};

/** The error of a call that failed. */
export function errorOf(outcome: Outcome): CallError {
  if ("error" in outcome) return outcome.error;
  throw new Error(`expected an error, got ${JSON.stringify(outcome.answer)}`);
}

/** The answer of a call that succeeded. */
export function answerOf(outcome: Outcome): JsonObject {
  if ("answer" in outcome) return outcome.answer;
  throw new Error(`expected an answer, got ${JSON.stringify(outcome.error)}`);
}

function createGrpcJsClient(address: string): RpcClient {
  const client = new Client(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const pass = (bytes: Buffer): Buffer => bytes;
  const metadataFrom = (headers: Readonly<Record<string, string>> = {}): Metadata => {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    return metadata;
  };
  const optionsFrom = ({ timeoutMs }: RpcCallOptions) =>
    timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
  const pathOf = (method: DescMethod) => `/${method.parent.typeName}/${method.name}`;
  return {
    name: "grpc-js",
    speaks: () => true,
    unary(method, request, options = {}) {
      const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
      return new Promise((resolve) => {
        const call = client.makeUnaryRequest(
          pathOf(method),
          pass,
          pass,
          bytes,
          metadataFrom(options.headers),
          optionsFrom(options),
          (error, answer) => {
            if (error !== null) resolve({ error: errorFromGrpc(error) });
            else resolve({ answer: toJson(method.output, fromBinary(method.output, answer!)) as JsonObject });
          },
        );
        options.signal?.addEventListener("abort", () => call.cancel(), { once: true });
      });
    },
    async *watch(request, options = {}) {
      const method = TaskService.method.watchStatus;
      const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
      const call = client.makeServerStreamRequest(
        pathOf(method),
        pass,
        pass,
        bytes,
        metadataFrom(options.headers),
        optionsFrom(options),
      );
      options.signal?.addEventListener("abort", () => call.cancel(), { once: true });
      try {
        for await (const message of call) yield fromBinary(method.output, message as Buffer);
      } catch (error) {
        throw new WatchError(errorFromGrpc(error as ServiceError));
      } finally {
        call.on("error", () => {});
        call.cancel();
      }
    },
    close: () => client.close(),
  };
}

function createConnectClient(name: string, transport: Transport): RpcClient {
  const watcher = createClient(TaskService, transport);
  return {
    name,
    speaks: () => true,
    async unary(method, request, { headers, timeoutMs, signal } = {}) {
      try {
        const { message } = await transport.unary(method, signal, timeoutMs, headers, request);
        return { answer: toJson(method.output, message) as JsonObject };
      } catch (error) {
        return { error: errorFromConnect(ConnectError.from(error)) };
      }
    },
    async *watch(request, options = {}) {
      const { headers, timeoutMs, signal } = options;
      try {
        yield* watcher.watchStatus(request, {
          ...(headers === undefined ? {} : { headers }),
          ...(timeoutMs === undefined ? {} : { timeoutMs }),
          ...(signal === undefined ? {} : { signal }),
        });
      } catch (error) {
        throw new WatchError(errorFromConnect(ConnectError.from(error)));
      }
    },
    close: () => {},
  };
}

function createFetchClient(baseUrl: string): RpcClient {
  return {
    name: "JSON by fetch",
    speaks: (method) => (method as DescMethodUnary | DescMethodServerStreaming).methodKind === "unary",
    async unary(method, request, { headers, timeoutMs, signal } = {}) {
      const response = await fetch(`${baseUrl}/${method.parent.typeName}/${method.name}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(timeoutMs === undefined ? {} : { "connect-timeout-ms": String(timeoutMs) }),
          ...headers,
        },
        body: JSON.stringify(toJson(method.input, create(method.input, request))),
        signal: signal ?? null,
      });
      const body = (await response.json()) as JsonObject;
      return response.ok ? { answer: body } : { error: errorFromJson(body) };
    },
    watch: () => {
      throw new Error("fetch reads no envelopes");
    },
    close: () => {},
  };
}

interface JsonError {
  readonly code: string;
  readonly message: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

/** An error of the Connect protocol, as its body has it. */
export function errorFromJson(body: JsonObject): CallError {
  const { code, message, details = [] } = body as unknown as JsonError;
  return {
    code: Code[codeFromString(code) ?? Code.Unknown],
    message,
    details: details.map(({ type, value }) => describe(type, Buffer.from(value, "base64"))),
  };
}

function errorFromConnect(error: ConnectError): CallError {
  const details = error.details as { type: string; value: Uint8Array }[];
  return {
    code: Code[error.code],
    message: error.rawMessage,
    details: details.map(({ type, value }) => describe(type, value)),
  };
}

function errorFromGrpc(error: ServiceError): CallError {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = bytes instanceof Buffer ? fromBinary(StatusSchema, bytes).details : [];
  return {
    code: Code[error.code as number] ?? "?",
    message: error.details,
    details: details.map((any) => describe(any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1), any.value)),
  };
}

function describe(type: string, value: Uint8Array): JsonObject {
  const any = { $typeName: "google.protobuf.Any", typeUrl: `type.googleapis.com/${type}`, value } satisfies Any;
  for (const schema of [ErrorInfoSchema, BadRequestSchema, RetryInfoSchema]) {
    const message = anyUnpack(any, schema);
    if (message !== undefined) return { type, ...(toJson(schema, message) as JsonObject) };
  }
  return { type };
}

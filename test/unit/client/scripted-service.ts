import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
} from "@grpc/grpc-js";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../src/gen/google/rpc/status_pb.ts";
import { TaskService, type WatchStatusResponseSchema } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";

type Methods = typeof TaskService.method;
type UnaryName = Exclude<keyof Methods, "watchStatus">;

/** How the service answers each unary method. What is not scripted is UNIMPLEMENTED. */
export type Script = {
  [Name in UnaryName]?: (
    request: MessageShape<Methods[Name]["input"]>,
    call: { readonly metadata: Metadata },
  ) => MessageInitShape<Methods[Name]["output"]> | Promise<MessageInitShape<Methods[Name]["output"]>>;
} & { watchStatus?: (stream: ScriptedStream) => void | Promise<void> };

/** One WatchStatus call, as the service sees it. */
export interface ScriptedStream {
  readonly request: MessageShape<Methods["watchStatus"]["input"]>;
  send(message: MessageInitShape<typeof WatchStatusResponseSchema>): void;
  /** How many of the messages sent wait here because the client does not take them. */
  readonly unsent: number;
  /** Ends it OK, or with an error. */
  end(error?: Failure): void;
  /** Resolves when the client is gone. */
  readonly cancelled: Promise<void>;
}

/** What a service refuses a call with. */
export class Failure extends Error {
  readonly code: number;
  readonly metadata = new Metadata();

  constructor(
    code: number,
    options: {
      message?: string;
      reason?: string;
      metadata?: Record<string, string>;
      fields?: { field: string; description: string; reason: string }[];
      retryDelayMs?: number;
    } = {},
  ) {
    const { message = "refused", reason, metadata = {}, fields, retryDelayMs } = options;
    super(message);
    this.code = code;
    if (reason === undefined) return;
    const domain = "taskwatch.dev";
    const details = [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain, metadata }))];
    if (fields !== undefined) {
      details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: fields })));
    }
    if (retryDelayMs !== undefined) {
      const retryDelay = durationFromMs(retryDelayMs);
      details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
    }
    const status = create(StatusSchema, { code, message, details });
    this.metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, status)));
  }
}

/** A gRPC server on loopback that answers by a script. */
export interface ScriptedService extends AsyncDisposable {
  readonly address: string;
  /** The names of the methods that were called, in order. */
  readonly calls: readonly string[];
  /** The WatchStatus calls, in order. */
  readonly streams: readonly ScriptedStream[];
  /** Resolves with the nth WatchStatus call, counted from 1. */
  stream(number: number): Promise<ScriptedStream>;
  /** Cuts every connection and goes away. */
  kill(): void;
  /** Comes back at the same address. */
  restart(): Promise<void>;
}

export async function startScriptedService(
  script: Script,
  credentials: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<ScriptedService> {
  const calls: string[] = [];
  const streams: ScriptedStream[] = [];
  const waiting = new Map<number, (stream: ScriptedStream) => void>();
  const onStream = (stream: ScriptedStream): void => {
    streams.push(stream);
    waiting.get(streams.length)?.(stream);
    void script.watchStatus?.(stream);
  };
  let server = serve(script, calls, onStream);
  const port = await listen(server, 0, credentials);
  return {
    address: `127.0.0.1:${port}`,
    calls,
    streams,
    stream: (number) =>
      new Promise((resolve) => {
        const known = streams[number - 1];
        if (known === undefined) waiting.set(number, resolve);
        else resolve(known);
      }),
    kill: () => server.forceShutdown(),
    restart: async () => {
      server = serve(script, calls, onStream);
      await listen(server, port, credentials);
    },
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}

function serve(script: Script, calls: string[], onStream: (stream: ScriptedStream) => void): Server {
  const definition: Record<string, unknown> = {};
  const handlers: Record<string, (...parts: never[]) => void> = {};
  for (const method of TaskService.methods) {
    const name = method.localName;
    definition[name] = definitionOf(method);
    if (name === "watchStatus") {
      handlers[name] = (call: WatchCall) => {
        calls.push(name);
        onStream(scriptedStream(call));
      };
    } else {
      const handler = script[name as UnaryName] as UnaryHandler | undefined;
      handlers[name] = (call: UnaryCall, callback: UnaryCallback) => {
        calls.push(name);
        void answer(handler, call, { method, callback });
      };
    }
  }
  const server = new Server();
  server.addService(definition as ServiceDefinition, handlers as never);
  return server;
}

type UnaryCall = ServerUnaryCall<never, unknown>;
type UnaryCallback = (error: Error | null, response?: unknown) => void;
type UnaryHandler = (request: never, call: { metadata: Metadata }) => unknown;
type WatchCall = ServerWritableStream<ScriptedStream["request"], unknown>;

async function answer(
  handler: UnaryHandler | undefined,
  call: UnaryCall,
  { method, callback }: { readonly method: DescMethod; readonly callback: UnaryCallback },
): Promise<void> {
  let response: unknown;
  try {
    if (handler === undefined) throw new Failure(12, { message: "not scripted", reason: "NOT_IMPLEMENTED" });
    response = create(method.output, (await handler(call.request, call)) as MessageInitShape<DescMessage>);
  } catch (error) {
    callback(error as Error);
    return;
  }
  callback(null, response);
}

function scriptedStream(call: WatchCall): ScriptedStream {
  return {
    request: call.request,
    send: (message) => void call.write(create(TaskService.method.watchStatus.output, message)),
    get unsent() {
      return call.writableLength;
    },
    end: (error) => {
      if (error === undefined) call.end();
      else call.emit("error", error);
    },
    cancelled: new Promise((resolve) => {
      call.once("cancelled", resolve);
    }),
  };
}

function definitionOf(method: DescMethod) {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: false,
    responseStream: method.methodKind === "server_streaming",
    requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
    requestSerialize: (message: MessageShape<DescMessage>) => Buffer.from(toBinary(method.input, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
    responseSerialize: (message: MessageShape<DescMessage>) => Buffer.from(toBinary(method.output, message)),
  };
}

function listen(server: Server, port: number, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
}

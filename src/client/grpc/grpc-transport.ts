import { readFileSync } from "node:fs";

import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { ChannelCredentials, Client, Metadata, type ServiceError } from "@grpc/grpc-js";

import { TaskService, type WatchStatusRequest } from "../../gen/taskwatch/v1/task_service_pb.ts";
import { clientClosed, TaskwatchError } from "../taskwatch-error.ts";
import type { Transport, UnaryOptions, WatchStream, WatchStreamHandlers } from "../transport.ts";
import { errorFromStatus } from "./error-details.ts";
import { grpcBytesMethod, type GrpcMethod, grpcMethod } from "./grpc-method.ts";
import { GrpcStreams } from "./grpc-streams.ts";

/** TLS settings; each may be left out. */
export interface TlsOptions {
  /** A file of PEM certificates to trust instead of those that Node trusts. */
  readonly caFile?: string;
  /** A PEM file with the client's own certificate, for servers that ask for one. Needs `keyFile`. */
  readonly certificateFile?: string;
  /** A PEM file with the key of that certificate. */
  readonly keyFile?: string;
  /** The name that the server's certificate must have, where it is not the one in the address. */
  readonly serverName?: string;
}

/** Where the service is and how to get there. */
export interface GrpcTransportOptions {
  /** `host:port`. */
  readonly address: string;
  /** Sent with each call. Without TLS it travels in the clear. */
  readonly apiKey?: string | undefined;
  /** TLS, if true with defaults. Without it the connection is plain. */
  readonly tls?: boolean | TlsOptions | undefined;
}

/** Calls over grpc-js. Connects at the first call, and again whenever it must. */
export function createGrpcTransport(options: GrpcTransportOptions): Transport {
  return new GrpcTransport(options);
}

const channelOptions = {
  // Statuses are small, but a page or a batch of them is not.
  "grpc.max_receive_message_length": 16 * 1024 * 1024,
  // Not more often than proxies and other servers put up with.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 0,
  // However long the service was away, it is found soon after it has come back.
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 2_000,
  // Closing this client closes its connections, and nobody else's.
  "grpc.use_local_subchannel_pool": 1,
  // Repeating is decided by this client, which knows what is safe.
  "grpc.enable_retries": 0,
  "grpc.enable_channelz": 0,
};

/** The connection of unary calls reads batches of answers at once; streams keep the small default. */
const unaryWindowBytes = 1024 * 1024;

class GrpcTransport implements Transport {
  readonly #client: Client;
  readonly #streams: GrpcStreams;
  readonly #metadata = new Metadata();
  readonly #watchMethod = grpcMethod(TaskService.method.watchStatus);
  readonly #open = new Set<() => void>();
  #closed = false;

  constructor({ address, apiKey, tls = false }: GrpcTransportOptions) {
    const { credentials, serverName } = credentialsFrom(tls);
    const common = {
      ...channelOptions,
      ...(serverName === undefined ? {} : { "grpc.ssl_target_name_override": serverName }),
    };
    this.#client = new Client(address, credentials, {
      ...common,
      "grpc-node.flow_control_window": unaryWindowBytes,
    });
    this.#streams = new GrpcStreams(() => new Client(address, credentials, common));
    if (apiKey !== undefined) this.#metadata.set("authorization", `Bearer ${apiKey}`);
  }

  unary<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    request: MessageShape<Input>,
    options: UnaryOptions,
  ): Promise<MessageShape<Output>> {
    return this.#unary(grpcMethod(method), request, options);
  }

  unaryBytes(method: DescMethodUnary, request: Uint8Array, options: UnaryOptions): Promise<Uint8Array> {
    return this.#unary(grpcBytesMethod(method), request, options);
  }

  watchStatus(request: WatchStatusRequest, handlers: WatchStreamHandlers): WatchStream {
    if (this.#closed) throw clientClosed();
    const { path, serialize, deserialize } = this.#watchMethod;
    return this.#streams.open(
      (client) => client.makeServerStreamRequest(path, serialize, deserialize, request, this.#metadata),
      {
        onMessage: (message) => handlers.onMessage(message),
        onEnd: (error) => handlers.onEnd(error && errorFromCall(error)),
      },
    );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of this.#open) end();
    this.#streams.close();
    this.#client.close();
  }

  #unary<Request, Response>(
    { path, serialize, deserialize }: GrpcMethod<Request, Response>,
    request: Request,
    { timeoutMs, signal }: UnaryOptions,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw clientClosed();
      if (signal?.aborted) throw signal.reason;
      const end = (): void => {
        this.#open.delete(onClose);
        signal?.removeEventListener("abort", onAbort);
      };
      const giveUp = (reason: Error): void => {
        end();
        reject(reason);
        call.cancel();
      };
      const onAbort = (): void => giveUp(signal?.reason as Error);
      const onClose = (): void => giveUp(clientClosed());
      const onAnswer = (error: ServiceError | null, response?: Response): void => {
        end();
        if (error === null && response !== undefined) resolve(response);
        else reject(error === null ? noAnswer() : errorFromCall(error));
      };
      const options = { deadline: Date.now() + timeoutMs };
      const call = this.#client.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request,
        this.#metadata,
        options,
        onAnswer,
      );
      this.#open.add(onClose);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}

function errorFromCall(error: ServiceError): TaskwatchError {
  const details = error.metadata.get("grpc-status-details-bin")[0];
  return errorFromStatus({
    code: error.code,
    message: error.details,
    details: typeof details === "string" ? undefined : details,
    cause: error,
  });
}

function noAnswer(): TaskwatchError {
  return new TaskwatchError("INTERNAL", "call ended without an answer");
}

function credentialsFrom(tls: boolean | TlsOptions): { credentials: ChannelCredentials; serverName?: string } {
  if (tls === false) return { credentials: ChannelCredentials.createInsecure() };
  const { caFile, certificateFile, keyFile, serverName } = tls === true ? {} : tls;
  const [authorities, key, certificate] = [caFile, keyFile, certificateFile].map((file) =>
    file === undefined ? null : readFileSync(file),
  );
  const credentials = ChannelCredentials.createSsl(authorities, key, certificate);
  return serverName === undefined ? { credentials } : { credentials, serverName };
}

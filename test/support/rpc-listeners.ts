import { createOpenPrincipals } from "../../src/rpc/access/principals.ts";
import { type Api, type ApiOptions, createApi } from "../../src/rpc/api.ts";
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from "../../src/rpc/grpc/grpc-server.ts";
import { createHttpServer, type HttpServer, type HttpServerOptions } from "../../src/rpc/http/http-server.ts";
import { createRecordingLogger, type RecordingLogger } from "./recording-logger.ts";
import { createRecordingObserver, type RecordingObserver } from "./recording-observer.ts";
import type { Listeners } from "./rpc-clients.ts";
import { createScriptedOperations, type ScriptedOperations } from "./scripted-operations.ts";

/** Both listeners over scripted operations. */
export interface RpcListeners extends Listeners, AsyncDisposable {
  readonly api: Api;
  readonly operations: ScriptedOperations;
  readonly observer: RecordingObserver;
  readonly logger: RecordingLogger;
  readonly grpcServer: GrpcServer;
  readonly httpServer: HttpServer;
}

/** What differs from the defaults. */
export type RpcListenersOptions = Partial<ApiOptions> &
  Pick<GrpcServerOptions, "tls"> &
  Pick<HttpServerOptions, "corsOrigins">;

/** Starts both listeners on free ports of the loopback address. */
export async function startRpcListeners(options: RpcListenersOptions = {}): Promise<RpcListeners> {
  const { tls, corsOrigins, ...apiOptions } = options;
  const operations = createScriptedOperations();
  const observer = createRecordingObserver();
  const logger = createRecordingLogger();
  const api = createApi({ operations, principals: createOpenPrincipals(), observer, logger, ...apiOptions });
  const address = "127.0.0.1:0";
  const grpcServer = await createGrpcServer({ api, address, tls });
  const httpServer = await createHttpServer({ api, address, tls, corsOrigins });
  return {
    api,
    operations,
    observer,
    logger,
    grpcServer,
    httpServer,
    grpc: grpcServer.address,
    http: `${tls === undefined ? "http" : "https"}://${httpServer.address}`,
    async [Symbol.asyncDispose]() {
      await Promise.all([grpcServer.close(), httpServer.close()]);
      api.close();
    },
  };
}

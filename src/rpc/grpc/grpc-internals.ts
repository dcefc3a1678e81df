/**
 * What grpc-js keeps to itself and we cannot do without: most limits of HTTP/2, how many connections there are, and
 * ending a stream whose client does not read. All of it is here, and says so if a version of grpc-js has it no more.
 */
import type { Http2Server, ServerHttp2Stream, ServerOptions } from "node:http2";

import type { Server, ServerInterceptingCallInterface } from "@grpc/grpc-js";

/** Sets options of the HTTP/2 servers that `server` will make. Before it is bound. */
export function setHttp2Options(server: Server, options: ServerOptions): void {
  const { commonServerOptions } = server as unknown as { readonly commonServerOptions?: object };
  if (commonServerOptions === undefined) throw unknownVersion("commonServerOptions");
  Object.assign(commonServerOptions, options);
}

/** The HTTP/2 servers behind a bound `server`. */
export function http2ServersOf(server: Server): Http2Server[] {
  const { http2Servers } = server as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
  if (http2Servers === undefined || http2Servers.size === 0) throw unknownVersion("http2Servers");
  return [...http2Servers.keys()];
}

/** The HTTP/2 stream of a call. */
export function http2StreamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  const { stream } = call as unknown as { readonly stream?: ServerHttp2Stream };
  if (stream === undefined) throw unknownVersion("stream");
  return stream;
}

function unknownVersion(what: string): Error {
  return new Error(`this version of @grpc/grpc-js has no ${what}`);
}

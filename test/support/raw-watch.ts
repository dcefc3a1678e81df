import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";

import { create, toBinary } from "@bufbuild/protobuf";
import { encodeEnvelope } from "@connectrpc/connect/protocol";

import { WatchStatusRequestSchema } from "../../src/gen/taskwatch/v1/task_service_pb.ts";
import type { Listeners } from "./rpc-clients.ts";

/** A watch whose client reads only when it is told to. */
export interface RawWatch {
  /** Resolves when the server has ended it, with the HTTP/2 code where there is one. */
  readonly ended: Promise<number | undefined>;
  /** Reads everything from now on. */
  read(): void;
  /** Goes away without a word. */
  leave(): void;
}

/** Opens a watch that reads nothing, in one of the ways there are. */
export const openRawWatch: Readonly<Record<string, (listeners: Listeners, taskIds: string[]) => RawWatch>> = {
  "gRPC over HTTP/2": ({ grpc }, taskIds) => overHttp2(`http://${grpc}`, "application/grpc+proto", taskIds),
  "Connect over HTTP/1.1": ({ http }, taskIds) => overHttp1(http, "application/connect+proto", taskIds),
  "gRPC-Web over HTTP/1.1": ({ http }, taskIds) => overHttp1(http, "application/grpc-web+proto", taskIds),
};

/** The same over HTTP/2 with TLS. */
export function openSecureRawWatch({ http }: Listeners, taskIds: string[]): RawWatch {
  return overHttp2(http, "application/connect+proto", taskIds);
}

const path = "/taskwatch.v1.TaskService/WatchStatus";

function requestBytes(taskIds: string[]): Uint8Array {
  return encodeEnvelope(0, toBinary(WatchStatusRequestSchema, create(WatchStatusRequestSchema, { taskIds })));
}

function overHttp1(baseUrl: string, contentType: string, taskIds: string[]): RawWatch {
  const { hostname, port, host } = new URL(baseUrl);
  const body = requestBytes(taskIds);
  const socket = connect(Number(port), hostname);
  // Nothing is read before somebody wants it.
  socket.pause();
  const head = [
    `POST ${path} HTTP/1.1`,
    `host: ${host}`,
    `content-type: ${contentType}`,
    `content-length: ${body.length}`,
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  socket.write(body);
  const ended = new Promise<undefined>((resolve) => {
    socket.once("error", () => resolve(undefined));
    socket.once("close", () => resolve(undefined));
  });
  return { ended, read: () => socket.resume(), leave: () => socket.destroy() };
}

function overHttp2(baseUrl: string, contentType: string, taskIds: string[]): RawWatch {
  const session = connectHttp2(baseUrl, { rejectUnauthorized: false });
  session.on("error", () => {});
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": contentType, te: "trailers" });
  stream.pause();
  stream.end(requestBytes(taskIds));
  const ended = new Promise<number | undefined>((resolve) => {
    stream.on("error", () => {});
    stream.once("close", () => resolve(stream.rstCode));
  });
  return {
    ended: ended.finally(() => session.close()),
    read: () => stream.resume(),
    leave: () => session.destroy(),
  };
}

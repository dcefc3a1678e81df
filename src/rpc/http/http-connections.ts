import type { ServerHttp2Session } from "node:http2";
import type { Server as NetServer, Socket } from "node:net";

import type { Limits } from "../limits.ts";
import type { HttpRequest } from "./http-exchange.ts";
import type { HttpResponse } from "./http-response.ts";

/** The connections of an HTTP server. */
export interface HttpConnections {
  /** Sees to it that a connection which is too old, or whose server stops, takes no further requests. */
  retire(request: HttpRequest, response: HttpResponse): void;
  /** Lets no connection take further requests. */
  drain(): void;
  /** Cuts them all. */
  destroy(): void;
}

/** Looks after the connections of `server`: how many there are, how old they get, and whether anybody is there. */
export function superviseConnections(server: NetServer, limits: Limits): HttpConnections {
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const retireMs = new WeakMap<Socket, number>();
  let draining = false;
  server.maxConnections = limits.maxConnections;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("session", (session: ServerHttp2Session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    superviseSession(session, limits);
  });
  return {
    retire(request, response) {
      // In HTTP/2 the session does it.
      if (request.httpVersionMajor !== 1) return;
      const { socket } = request;
      const dueMs = retireMs.get(socket) ?? performance.now() + jittered(limits.maxConnectionAgeMs);
      retireMs.set(socket, dueMs);
      if (draining || performance.now() >= dueMs) response.setHeader("connection", "close");
    },
    drain() {
      draining = true;
      for (const session of sessions) session.close();
    },
    destroy() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Ends a session that is idle, too old, or whose other side is gone: Node leaves it open for ever. */
function superviseSession(session: ServerHttp2Session, limits: Limits): void {
  let streams = 0;
  let idleSinceMs = performance.now();
  let pongTimer: NodeJS.Timeout | undefined;
  let graceTimer: NodeJS.Timeout | undefined;
  session.on("stream", (stream) => {
    streams += 1;
    stream.once("close", () => {
      streams -= 1;
      idleSinceMs = performance.now();
    });
  });
  const pingTimer = setInterval(() => {
    if (streams === 0 && performance.now() - idleSinceMs >= limits.idleTimeoutMs) session.close();
    if (session.closed || session.destroyed || pongTimer !== undefined) return;
    pongTimer = setTimeout(() => session.destroy(), limits.pingTimeoutMs);
    session.ping(() => {
      clearTimeout(pongTimer);
      pongTimer = undefined;
    });
  }, limits.pingIntervalMs);
  const ageTimer = setTimeout(() => {
    // Sends GOAWAY, and closes when the last stream has.
    session.close();
    graceTimer = setTimeout(() => session.destroy(), limits.maxConnectionGraceMs);
  }, jittered(limits.maxConnectionAgeMs));
  session.once("close", () => {
    clearInterval(pingTimer);
    for (const timer of [pongTimer, ageTimer, graceTimer]) clearTimeout(timer);
  });
}

/** Give or take a tenth, so that clients which came together do not come back together. */
function jittered(ms: number): number {
  return ms * (0.9 + Math.random() * 0.2);
}

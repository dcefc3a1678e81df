import { createHash, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** One thing that readiness depends on. */
export interface ReadinessCheck {
  readonly ok: boolean;
  /** For people: why not, or what it is at. */
  readonly detail: string;
}

/** Whether the process should be sent work, and why not. */
export interface Readiness {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
}

/** What `startAdminServer` needs. */
export interface AdminServerOptions {
  /** `127.0.0.1` if unset. What is served here is for operators: open it to a network that is theirs. */
  readonly host?: string;
  /** 0 for any free one. */
  readonly port: number;
  /** If set, `/metrics` asks for it as a bearer token; probes never do. */
  readonly metricsToken?: string;
  readonly metrics: { readonly contentType: string; scrape(): Promise<string> };
  /** Asked at each probe. Taking longer than 2 s, and failing, both mean not ready. */
  readonly readiness: () => Readiness | Promise<Readiness>;
  readonly logger: { error(message: string, fields: Readonly<Record<string, unknown>>): void };
}

/** A running admin server. */
export interface AdminServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Stops listening, lets answers that have begun finish for up to `graceMs` (1 s), then cuts them. Safe to repeat. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Serves `GET /metrics`, `GET /livez` (the process turns) and `GET /readyz` (it should be sent work: 200, else 503, with
 * each check as JSON). Resolves once it listens; rejects if it cannot.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const host = options.host ?? "127.0.0.1";
  const server = createServer(limits, (request, response) => {
    void answer(options, request, response);
  });
  server.maxConnections = maxConnections;
  server.setTimeout(idleTimeoutMs);
  server.listen(options.port, host);
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : options.port;
  let closing: Promise<void> | undefined;
  const close = (graceMs = 1_000): Promise<void> => (closing ??= closeServer(server, graceMs));
  return { host, port, close, [Symbol.asyncDispose]: () => close() };
}

const maxConnections = 64;
const idleTimeoutMs = 30_000;
const readinessTimeoutMs = 2_000;
const limits = {
  maxHeaderSize: 8 * 1024,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  // Above the usual scrape and probe intervals, so that their connections are reused.
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 1_000,
};

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function answer(options: AdminServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // Nothing here takes a body; one that is sent anyway is thrown away, bounded by the request timeout.
  request.resume();
  try {
    send(request, response, await route(options, request));
  } catch (error) {
    options.logger.error("admin request failed", { path: pathOf(request), error });
    send(request, response, text(500, "internal error"));
  }
}

async function route(options: AdminServerOptions, request: IncomingMessage): Promise<Answer> {
  const serve = routes.get(pathOf(request));
  if (serve === undefined) return text(404, "not found");
  if (request.method !== "GET" && request.method !== "HEAD") {
    return { ...text(405, "method not allowed"), headers: { allow: "GET, HEAD" } };
  }
  return serve(options, request);
}

const routes = new Map<string, (options: AdminServerOptions, request: IncomingMessage) => Answer | Promise<Answer>>([
  ["/metrics", serveMetrics],
  ["/livez", () => text(200, "ok")],
  ["/readyz", serveReadiness],
]);

async function serveMetrics({ metrics, metricsToken }: AdminServerOptions, request: IncomingMessage): Promise<Answer> {
  if (metricsToken !== undefined && !sameSecret(request.headers.authorization ?? "", `Bearer ${metricsToken}`)) {
    return { ...text(401, "unauthorized"), headers: { "www-authenticate": "Bearer" } };
  }
  return { status: 200, type: metrics.contentType, body: await metrics.scrape() };
}

async function serveReadiness({ readiness, logger }: AdminServerOptions): Promise<Answer> {
  const { ready, checks } = await askReadiness(readiness, logger);
  return { status: ready ? 200 : 503, type: "application/json", body: `${JSON.stringify({ ready, checks })}\n` };
}

async function askReadiness(
  readiness: AdminServerOptions["readiness"],
  logger: AdminServerOptions["logger"],
): Promise<Readiness> {
  const { promise: tooLate, resolve } = Promise.withResolvers<Readiness>();
  const timer = setTimeout(() => resolve(unknownReadiness("took too long")), readinessTimeoutMs);
  try {
    return await Promise.race([readiness(), tooLate]);
  } catch (error) {
    logger.error("readiness check failed", { error });
    return unknownReadiness("failed");
  } finally {
    clearTimeout(timer);
  }
}

function unknownReadiness(detail: string): Readiness {
  return { ready: false, checks: { readiness: { ok: false, detail } } };
}

function send(request: IncomingMessage, response: ServerResponse, { status, type, body, headers }: Answer): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...headers,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function text(status: number, body: string): Answer {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}

function pathOf(request: IncomingMessage): string {
  const [path = ""] = (request.url ?? "").split("?", 1);
  return path;
}

/** Takes the same time whether they differ early or late, or in length. */
function sameSecret(given: string, wanted: string): boolean {
  const digest = (value: string): Buffer => createHash("sha256").update(value).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}

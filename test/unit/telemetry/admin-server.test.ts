import { once } from "node:events";
import { connect } from "node:net";

import { expect, test } from "vitest";

import { type AdminServerOptions, startAdminServer } from "../../../src/telemetry/admin-server.ts";
import { createRecordingLogger } from "../../support/recording-logger.ts";

function start(options: Partial<AdminServerOptions> = {}) {
  return startAdminServer({
    port: 0,
    metrics: { contentType: "text/plain; version=0.0.4", scrape: async () => "x_total 1\n" },
    readiness: () => ({ ready: true, checks: { nats: { ok: true, detail: "connected" } } }),
    logger: createRecordingLogger(),
    ...options,
  });
}

test("metrics are served as their producer says, and to loopback only by default", async () => {
  await using server = await start();
  expect(server.host).toBe("127.0.0.1");
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4");
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(await response.text()).toBe("x_total 1\n");
});

test("with a token set, metrics need it and probes do not", async () => {
  await using server = await start({ metricsToken: "s3cret" });
  const url = `http://127.0.0.1:${server.port}`;
  const statusWith = async (authorization?: string): Promise<number> => {
    const response = await fetch(`${url}/metrics`, authorization === undefined ? {} : { headers: { authorization } });
    return response.status;
  };
  expect(await statusWith()).toBe(401);
  expect(await statusWith("Bearer wrong")).toBe(401);
  expect(await statusWith("s3cret")).toBe(401);
  expect(await statusWith("Bearer s3cret")).toBe(200);
  expect((await fetch(`${url}/livez`)).status).toBe(200);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
});

test("readiness is 200 or 503 with every check", async () => {
  let ok = true;
  const readiness = () => ({ ready: ok, checks: { view: { ok, detail: ok ? "in sync" : "catching up" } } });
  await using server = await start({ readiness });
  const probe = () => fetch(`http://127.0.0.1:${server.port}/readyz`);
  const ready = await probe();
  expect(ready.status).toBe(200);
  expect(await ready.json()).toEqual({ ready: true, checks: { view: { ok: true, detail: "in sync" } } });
  ok = false;
  const unready = await probe();
  expect(unready.status).toBe(503);
  expect(await unready.json()).toEqual({ ready: false, checks: { view: { ok: false, detail: "catching up" } } });
});

test("a readiness check that fails, or never answers, means not ready; liveness does not ask it", async () => {
  const logger = createRecordingLogger();
  const checks = [() => Promise.reject(new Error("boom")), () => new Promise<never>(() => {})];
  for (const readiness of checks) {
    await using server = await start({ readiness, logger });
    expect((await fetch(`http://127.0.0.1:${server.port}/readyz`)).status).toBe(503);
    expect((await fetch(`http://127.0.0.1:${server.port}/livez`)).status).toBe(200);
  }
  expect(logger.lines.map(({ message }) => message)).toEqual(["readiness check failed"]);
});

test("metrics that cannot be read are a 500 that tells nothing, and a log line that tells all", async () => {
  const logger = createRecordingLogger();
  const scrape = () => Promise.reject(new Error("inner detail"));
  await using server = await start({ metrics: { contentType: "text/plain", scrape }, logger });
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  expect(response.status).toBe(500);
  expect(await response.text()).toBe("internal error\n");
  expect(logger.lines[0]).toMatchObject({ message: "admin request failed", fields: { path: "/metrics" } });
});

test.each([
  ["GET", "/", 404],
  ["GET", "/metrics/", 404],
  ["GET", "/readyz?verbose=1", 200],
  ["POST", "/metrics", 405],
  ["DELETE", "/readyz", 405],
])("%s %s is answered with %i", async (method, path, status) => {
  await using server = await start();
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
  expect(response.status).toBe(status);
});

test("HEAD is answered like GET, without a body", async () => {
  await using server = await start();
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`, { method: "HEAD" });
  expect(response.headers.get("content-length")).toBe("10");
  expect(await response.text()).toBe("");
});

test("a request with huge headers is refused", async () => {
  await using server = await start();
  const response = await fetch(`http://127.0.0.1:${server.port}/livez`, { headers: { x: "y".repeat(9 * 1024) } });
  expect(response.status).toBe(431);
});

test("closing cuts a client that says nothing, and is over when it says so", async () => {
  const server = await start();
  const socket = connect(server.port, "127.0.0.1");
  await once(socket, "connect");
  const socketClosed = once(socket, "close");
  socket.resume();
  await Promise.all([server.close(50), server.close(50)]);
  await socketClosed;
  await expect(fetch(`http://127.0.0.1:${server.port}/livez`)).rejects.toThrow("fetch failed");
});

test("closing lets an answer that has begun finish", async () => {
  const { promise: scraped, resolve: finishScrape } = Promise.withResolvers<string>();
  const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
  const scrape = (): Promise<string> => {
    onAsked();
    return scraped;
  };
  const server = await start({ metrics: { contentType: "text/plain", scrape } });
  const response = fetch(`http://127.0.0.1:${server.port}/metrics`);
  await asked;
  const closed = server.close();
  finishScrape("x_total 2\n");
  expect(await (await response).text()).toBe("x_total 2\n");
  await closed;
});

test("a port that is taken is a rejection, not a crash", async () => {
  await using server = await start();
  await expect(start({ port: server.port })).rejects.toMatchObject({ code: "EADDRINUSE" });
});

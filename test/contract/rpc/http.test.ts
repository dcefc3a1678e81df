import { gzipSync } from "node:zlib";

import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { TaskService } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { maxMessageBytes } from "../../../src/rpc/limits.ts";
import { createCertificate } from "../../support/certificate.ts";
import { eventually } from "../../support/eventually.ts";
import { connectRaw } from "../../support/raw-http.ts";
import { errorFromJson } from "../../support/rpc-clients.ts";
import { type RpcListeners, startRpcListeners } from "../../support/rpc-listeners.ts";
import { scriptedTaskId, snapshotFrom } from "../../support/scripted-operations.ts";

const taskId = scriptedTaskId(1);
const page = "https://status.example.com";
let listeners: RpcListeners;

beforeAll(async () => {
  listeners = await startRpcListeners({ corsOrigins: [page] });
  listeners.operations.put(snapshotFrom({ taskId }));
});
afterAll(async () => {
  await listeners[Symbol.asyncDispose]();
});

const urlOf = (method: string) => `${listeners.http}/taskwatch.v1.TaskService/${method}`;
const post = (method: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
  fetch(urlOf(method), { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
const errorFrom = async (response: Response) => errorFromJson((await response.json()) as never);
const reasonOf = async (response: Response) => (await errorFrom(response)).details[0]?.["reason"];

describe("every answer", () => {
  test.each([
    ["of a call", () => post("GetStatus", JSON.stringify({ taskId }))],
    ["of a refused call", () => post("GetStatus", "{}")],
    [
      "to a GET",
      () => fetch(`${urlOf("GetStatus")}?encoding=json&message=${encodeURIComponent(`{"taskId":"${taskId}"}`)}`),
    ],
    ["for nothing", () => fetch(`${listeners.http}/`)],
  ])("%s says that it must not be kept", async (_what, ask) => {
    expect((await ask()).headers.get("cache-control")).toBe("no-store");
  });
});

describe("what is no call of ours", () => {
  test.each([
    "/",
    "/favicon.ico",
    "/taskwatch.v1.TaskService/Fly",
    "/taskwatch.v1.TaskService/GetStatus/",
    "//",
    "/%00",
  ])("%s is not found, in JSON", async (path) => {
    const response = await fetch(`${listeners.http}${path}`);
    expect(response.status).toBe(404);
    expect(await errorFrom(response)).toMatchObject({
      code: "Unimplemented",
      details: [{ reason: "NOT_IMPLEMENTED" }],
    });
  });

  test("a method with side effects is not served by GET", async () => {
    const response = await fetch(`${urlOf("SubmitTask")}?encoding=json&message={}`);
    expect([response.status, await reasonOf(response)]).toEqual([405, "NOT_IMPLEMENTED"]);
  });

  test.each(["text/plain", "application/xml", "application/grpc", "application/grpc-web-text"])(
    "a body of %s is not served",
    async (contentType) => {
      const response = await post("GetStatus", "{}", { "content-type": contentType });
      const reason = response.headers.get("grpc-status") ?? (await reasonOf(response));
      expect(["REQUEST_INVALID", "3"]).toContain(reason);
    },
  );

  test.each<[string, string | Uint8Array<ArrayBuffer>, Record<string, string>, string]>([
    ["broken JSON", "{", {}, "REQUEST_INVALID"],
    ["an unknown field", `{"taskId": "x", "nope": 1}`, {}, "REQUEST_INVALID"],
    ["a long unknown field", `{"${"n".repeat(100_000)}": 1}`, { "accept-encoding": "identity" }, "REQUEST_INVALID"],
    ["a long unknown field, to be compressed", `{"${"n".repeat(100_000)}": 1}`, {}, "REQUEST_INVALID"],
    ["JSON that is too deep", `{"requests":${"[".repeat(10_000)}`, {}, "REQUEST_INVALID"],
    ["broken protobuf", Uint8Array.of(0xff, 0xff), { "content-type": "application/proto" }, "REQUEST_INVALID"],
    ["a timeout that is none", "{}", { "connect-timeout-ms": "soon" }, "REQUEST_INVALID"],
    ["what is not gzip", "{}", { "content-encoding": "gzip" }, "REQUEST_INVALID"],
    ["an unknown compression", "{}", { "content-encoding": "zip" }, "NOT_IMPLEMENTED"],
    ["a gzip bomb", gzipSync(Buffer.alloc(50 * maxMessageBytes)), { "content-encoding": "gzip" }, "MESSAGE_TOO_LARGE"],
    ["too much", "x".repeat(maxMessageBytes + 1), {}, "MESSAGE_TOO_LARGE"],
  ])("%s is refused with details", async (_what, body, headers, reason) => {
    expect(await reasonOf(await post("GetStatus", body, headers))).toBe(reason);
  });

  test("too much is noticed also when it was not announced, and the answer arrives", async () => {
    const chunk = "x".repeat(64 * 1_024);
    const connection = await connectRaw(
      listeners.httpServer.address,
      "POST /taskwatch.v1.TaskService/SubmitTask HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" +
        "transfer-encoding: chunked\r\n\r\n",
    );
    for (let sent = 0; sent <= maxMessageBytes; sent += chunk.length) {
      connection.socket.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
    }
    expect(await connection.until("MESSAGE_TOO_LARGE")).toContain("HTTP/1.1 429");
    // What was left of it does not stand in the way of the next.
    connection.socket.write("0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(await connection.until("no such method")).toContain("HTTP/1.1 404");
    connection.socket.destroy();
  });

  test.each([
    ["Connect", "application/connect+json", "application/connect+json"],
    ["gRPC-Web", "application/grpc-web+proto", "application/grpc-web+proto"],
  ])("a stream of %s that begins with rubbish ends with details", async (_what, contentType, answered) => {
    const response = await post("WatchStatus", Uint8Array.of(0, 0, 0, 0, 2, 0xff, 0xff), {
      "content-type": contentType,
    });
    expect(response.headers.get("content-type")).toBe(answered);
    const { handled } = listeners.observer;
    expect((await response.text()).length).toBeGreaterThan(5);
    await expect.poll(() => handled.at(-1)).toMatchObject({ method: "WatchStatus", code: 3 });
  });
});

describe("a request head that is hostile", () => {
  test.each([
    ["no host", "GET /taskwatch.v1.TaskService/GetStatus HTTP/1.0\r\n\r\n"],
    ["a host that is none", "GET /taskwatch.v1.TaskService/GetStatus HTTP/1.1\r\nhost: [\r\n\r\n"],
    ["a target that is none", "GET http://[/taskwatch.v1.TaskService/GetStatus HTTP/1.1\r\nhost: a\r\n\r\n"],
    ["no HTTP", "\0\0\0\0\0\0\r\n\r\n"],
    ["a method that is none", "BREW /taskwatch.v1.TaskService/GetStatus HTTP/1.1\r\nhost: a\r\n\r\n"],
    ["two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"],
    [
      "an upgrade",
      "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
    ],
  ])("with %s is answered or cut, and harms nobody else", async (_what, head) => {
    const connection = await connectRaw(listeners.httpServer.address, head);
    await Promise.race([connection.closed, connection.until("HTTP/1.1 4")]);
    connection.socket.destroy();
    expect((await post("GetStatus", JSON.stringify({ taskId }))).status).toBe(200);
  });

  test("of more than 16 KiB is refused", async () => {
    const response = await post("GetStatus", "{}", { "x-large": "x".repeat(17_000) });
    expect(response.status).toBe(431);
  });
});

describe("a page of another origin", () => {
  const preflight = (origin: string) =>
    fetch(urlOf("GetStatus"), {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
    });

  test("that is on the list may call, and see what it needs", async () => {
    const asked = await preflight(page);
    expect(asked.status).toBe(204);
    expect(Object.fromEntries(asked.headers)).toMatchObject({
      "access-control-allow-origin": page,
      "access-control-allow-methods": "POST, GET",
      "access-control-allow-headers": expect.stringMatching(/Content-Type.*authorization/),
      "access-control-max-age": "7200",
      vary: "origin",
    });
    const called = await post("GetStatus", JSON.stringify({ taskId }), { origin: page });
    expect(called.headers.get("access-control-allow-origin")).toBe(page);
    expect(called.headers.get("access-control-expose-headers")?.toLowerCase()).toContain("grpc-status-details-bin");
  });

  test.each(["https://evil.example.com", "null", `${page}.evil.com`])("%s may not", async (origin) => {
    for (const response of [await preflight(origin), await post("GetStatus", "{}", { origin })]) {
      expect(response.headers.get("access-control-allow-origin")).toBeNull();
      expect(response.headers.get("vary")).toBe("origin");
    }
  });

  test("may not at all unless there is a list", async () => {
    await using closed = await startRpcListeners();
    const response = await fetch(`${closed.http}/taskwatch.v1.TaskService/GetStatus`, {
      method: "OPTIONS",
      headers: { origin: page, "access-control-request-method": "POST" },
    });
    expect([...response.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
  });
});

describe("with TLS", () => {
  test.each([
    ["Connect", "2", createConnectTransport],
    ["Connect", "1.1", createConnectTransport],
    ["gRPC-Web", "2", createGrpcWebTransport],
    ["gRPC-Web", "1.1", createGrpcWebTransport],
  ] as const)("%s works over HTTP/%s, watches included, and drains", async (_name, httpVersion, createTransport) => {
    const { cert, key } = createCertificate();
    await using secure = await startRpcListeners({ tls: { cert, key } });
    secure.operations.put(snapshotFrom({ taskId }));
    const nodeOptions = { ca: cert };
    const client = createClient(TaskService, createTransport({ baseUrl: secure.http, httpVersion, nodeOptions }));
    expect((await client.getStatus({ taskId })).status?.taskId).toBe(taskId);
    await expect(client.getStatus({ taskId: "" })).rejects.toMatchObject({ code: 3 });

    const messages = client.watchStatus({ taskIds: [taskId] })[Symbol.asyncIterator]();
    const first = messages.next();
    const watch = await eventually("the watch to open", () => secure.operations.watches[0]);
    watch.push({ kind: "bookmark", revision: 1, resumeToken: "b" });
    expect((await first).value?.resumeToken).toBe("b");
    const drained = secure.httpServer.drain(60_000);
    watch.push({ kind: "bookmark", revision: 2, resumeToken: "c" });
    watch.finish("ok");
    expect((await messages.next()).value?.resumeToken).toBe("c");
    expect((await messages.next()).done).toBe(true);
    await drained;
  });
});

import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";

import { describe, expect, test } from "vitest";

import { TaskService } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { createCertificate } from "../../support/certificate.ts";
import { eventually } from "../../support/eventually.ts";
import { connectRaw } from "../../support/raw-http.ts";
import { answerOf, errorOf, rpcClients } from "../../support/rpc-clients.ts";
import { type RpcListeners, startRpcListeners } from "../../support/rpc-listeners.ts";
import { scriptedTaskId, snapshotFrom } from "../../support/scripted-operations.ts";

const taskId = scriptedTaskId(1);
const path = "/taskwatch.v1.TaskService/GetStatus";
const { getStatus, submitTasks } = TaskService.method;

describe.each(Object.entries(rpcClients))("by %s", (_name, makeClient) => {
  test("too many calls in a second are refused, and it is said when there may be more", async () => {
    await using listeners = await startRpcListeners({ quotas: { callsPerSecond: 0.1, burst: 2 } });
    listeners.operations.put(snapshotFrom({ taskId }));
    const client = makeClient(listeners);
    answerOf(await client.unary(getStatus, { taskId }));
    answerOf(await client.unary(getStatus, { taskId }));
    const error = errorOf(await client.unary(getStatus, { taskId }));
    expect(error).toMatchObject({
      code: "ResourceExhausted",
      details: [
        { reason: "RATE_LIMITED" },
        { type: "google.rpc.RetryInfo", retryDelay: expect.stringMatching(/^9|10/) },
      ],
    });
    client.close();
  });

  test("too many calls at one time are refused, and those that end make room", async () => {
    await using listeners = await startRpcListeners({ quotas: { callsInFlight: 1 } });
    listeners.operations.put(snapshotFrom({ taskId }));
    const client = makeClient(listeners);
    const entered = Promise.withResolvers<undefined>();
    const proceed = Promise.withResolvers<undefined>();
    listeners.operations.before = async () => {
      entered.resolve(undefined);
      await proceed.promise;
    };
    const first = client.unary(getStatus, { taskId });
    await entered.promise;
    const error = errorOf(await client.unary(getStatus, { taskId }));
    expect(error).toMatchObject({ code: "ResourceExhausted", details: [{ reason: "RATE_LIMITED" }, {}] });
    proceed.resolve(undefined);
    answerOf(await first);
    await eventually("room", async () => "answer" in (await client.unary(getStatus, { taskId })));
    client.close();
  });
});

test("a batch counts as many calls as it has tasks", async () => {
  await using listeners = await startRpcListeners({ quotas: { callsPerSecond: 1, burst: 3 } });
  const client = rpcClients["grpc-js"]!(listeners);
  const requests = Array.from({ length: 100 }, () => ({ queue: "demo", type: "sleep" }));
  answerOf(await client.unary(submitTasks, { requests }));
  const error = errorOf(await client.unary(getStatus, { taskId }));
  expect(error.details[1]).toMatchObject({ retryDelay: expect.stringMatching(/^9[78]/) });
  client.close();
});

describe("a client of HTTP/1.1 that is slow", () => {
  const limits = { requestTimeoutMs: 300 };

  test.each([
    ["says nothing", ""],
    ["does not finish its head", `POST ${path} HTTP/1.1\r\nhost: a\r\n`],
  ])("and %s is cut", async (_what, head) => {
    await using listeners = await startRpcListeners({ limits });
    const connection = await connectRaw(listeners.httpServer.address, head);
    expect(await connection.closed).toContain("HTTP/1.1 408");
  });

  test("and does not finish its body is answered, and then cut", async () => {
    await using listeners = await startRpcListeners({ limits });
    const connection = await connectRaw(
      listeners.httpServer.address,
      `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{`,
    );
    expect(await connection.until("DEADLINE_EXCEEDED")).toContain("HTTP/1.1 504");
    await connection.closed;
    expect(listeners.observer.handled).toMatchObject([{ method: "GetStatus", code: 4 }]);
  });

  test("and comes back late finds its connection closed", async () => {
    await using listeners = await startRpcListeners({ limits: { idleTimeoutMs: 300 } });
    const connection = await connectRaw(listeners.httpServer.address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(await connection.closed).toContain("HTTP/1.1 404");
  });

  test("and stays too long is told to leave", async () => {
    await using listeners = await startRpcListeners({ limits: { maxConnectionAgeMs: 200 } });
    const connection = await connectRaw(listeners.httpServer.address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(await connection.until("}")).toContain("Connection: keep-alive");
    await eventually("the connection to be retired", () => {
      connection.socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      return connection.socket.destroyed;
    });
    expect(await connection.closed).toContain("connection: close");
  });
});

test("a TLS handshake that does not come is not waited for", async () => {
  const tls = createCertificate();
  await using listeners = await startRpcListeners({ tls, limits: { tlsHandshakeTimeoutMs: 200 } });
  for (const address of [listeners.httpServer.address, listeners.grpcServer.address]) {
    const connection = await connectRaw(address, Buffer.from([0x16]));
    expect(await connection.closed).toBe("");
  }
});

test("more connections than allowed are refused, and others live on", async () => {
  await using listeners = await startRpcListeners({ limits: { maxConnections: 2 } });
  for (const address of [listeners.httpServer.address, listeners.grpcServer.address]) {
    const kept = [await connectRaw(address), await connectRaw(address)];
    const refused = await connectRaw(address);
    await refused.closed;
    expect(kept.map(({ socket }) => socket.destroyed)).toEqual([false, false]);
    for (const { socket } of kept) socket.destroy();
  }
});

const certificate = createCertificate();
type Way = readonly [name: string, urlOf: (listeners: RpcListeners) => string, tls: typeof certificate | undefined];
const http2Ways: readonly Way[] = [
  ["gRPC", ({ grpc }) => `http://${grpc}`, undefined],
  ["gRPC with TLS", ({ grpc }) => `https://${grpc}`, certificate],
  ["HTTP/2 with TLS", ({ http }) => http, certificate],
];

describe.each(http2Ways)("a connection of %s", (name, urlOf, tls) => {
  const contentType = name.startsWith("gRPC") ? "application/grpc" : "application/connect+proto";
  const open = (listeners: RpcListeners) => {
    const session = connectHttp2(urlOf(listeners), { rejectUnauthorized: false });
    session.on("error", () => {});
    return session;
  };
  const head = (more: Record<string, string> = {}) => ({
    ":method": "POST",
    ":path": "/taskwatch.v1.TaskService/WatchStatus",
    "content-type": contentType,
    te: "trailers",
    ...more,
  });

  test("learns how many streams it may have, and how long a head may be", async () => {
    await using listeners = await startRpcListeners({ tls });
    const session = open(listeners);
    const [settings] = (await once(session, "remoteSettings")) as [
      { maxConcurrentStreams: number; maxHeaderListSize: number },
    ];
    expect(settings).toMatchObject({ maxConcurrentStreams: 1_000, maxHeaderListSize: 16 * 1_024 });
    session.destroy();
  });

  test("loses a stream whose head is too long, and no other", async () => {
    await using listeners = await startRpcListeners({ tls });
    const session = open(listeners);
    await once(session, "remoteSettings");
    const stream = session.request(head({ "x-large": "x".repeat(17_000) }));
    stream.on("error", () => {});
    await closed(stream);
    expect(stream.rstCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    expect(session.destroyed).toBe(false);
    session.destroy();
  });

  test("is not waited for when it does not send its request", async () => {
    await using listeners = await startRpcListeners({ tls, limits: { requestTimeoutMs: 200 } });
    const session = open(listeners);
    const stream = session.request(head(), { endStream: false });
    stream.on("error", () => {});
    stream.resume();
    await closed(stream);
    expect(listeners.observer.handled).toMatchObject([{ method: "WatchStatus", code: 4 }]);
    session.destroy();
  });

  test("is closed when it is idle", async () => {
    await using listeners = await startRpcListeners({ tls, limits: { idleTimeoutMs: 200, pingIntervalMs: 100 } });
    const session = open(listeners);
    const [code] = (await once(session, "goaway")) as [number];
    expect(code).toBe(constants.NGHTTP2_NO_ERROR);
    await closed(session);
  });

  test("is told to leave when it is too old, and its streams may go on", async () => {
    await using listeners = await startRpcListeners({ tls, limits: { maxConnectionAgeMs: 200 } });
    const session = open(listeners);
    const stream = session.request(head());
    stream.on("error", () => {});
    stream.resume();
    // A request for the task.
    const request = Buffer.concat([Buffer.from([0x0a, taskId.length]), Buffer.from(taskId)]);
    stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, request.length]), request]));
    const watch = await eventually("the watch to open", () => listeners.operations.watches[0]);
    await once(session, "goaway");
    expect(watch.closed).toBe(false);
    watch.finish("ok");
    await closed(session);
    expect(listeners.observer.watchEnds).toEqual(["completed"]);
  });
});

test("a connection that does not answer pings is cut", async () => {
  await using listeners = await startRpcListeners({ limits: { pingIntervalMs: 100, pingTimeoutMs: 100 } });
  // The preface and empty settings, and then nothing.
  const connection = await connectRaw(
    listeners.grpcServer.address,
    Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]),
  );
  // The frame type of a ping after its length of eight.
  expect(await connection.closed).toContain("\0\0\b\u0006");
});

/** Waits for the end of something that may well end with an error. */
function closed(emitter: NodeJS.EventEmitter): Promise<void> {
  return new Promise((resolve) => {
    emitter.once("close", () => resolve());
  });
}

import { Client, credentials, loadPackageDefinition, type ServiceError, status } from "@grpc/grpc-js";
import { service as healthService, type ServingStatus } from "grpc-health-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { createGrpcServer } from "../../../src/rpc/grpc/grpc-server.ts";
import { eventually } from "../../support/eventually.ts";
import { type RpcListeners, startRpcListeners } from "../../support/rpc-listeners.ts";

let listeners: RpcListeners;
let client: Client;

beforeAll(async () => {
  listeners = await startRpcListeners();
  client = new Client(listeners.grpc, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
});
afterAll(async () => {
  client.close();
  await listeners[Symbol.asyncDispose]();
});

const pass = (bytes: Buffer): Buffer => bytes;
const call = (path: string, request: Buffer): Promise<ServiceError | Buffer> =>
  new Promise((resolve) => {
    client.makeUnaryRequest(path, pass, pass, request, (error, answer) => resolve(error ?? answer!));
  });

describe("the health service", () => {
  type HealthClient = Client & {
    check(request: object, done: (error: ServiceError | null, answer?: { status: ServingStatus }) => void): void;
    watch(request: object): NodeJS.EventEmitter & { cancel(): void };
  };
  const connectHealth = (to: RpcListeners): HealthClient => {
    const { grpc } = loadPackageDefinition({ "grpc.health.v1.Health": healthService }) as unknown as {
      grpc: { health: { v1: { Health: new (address: string, secrets: unknown) => HealthClient } } };
    };
    return new grpc.health.v1.Health(to.grpc, credentials.createInsecure());
  };
  const check = (health: HealthClient, service: string) =>
    new Promise<string>((resolve) => {
      health.check({ service }, (error, answer) => resolve(answer?.status ?? status[error!.code]));
    });

  test("tells how the server and each service are, and follows them", async () => {
    const health = connectHealth(listeners);
    for (const service of ["", "taskwatch.v1.TaskService", "taskwatch.v1.QueueService"]) {
      listeners.grpcServer.setServing(true);
      expect(await check(health, service)).toBe("SERVING");
      listeners.grpcServer.setServing(false);
      expect(await check(health, service)).toBe("NOT_SERVING");
    }
    expect(await check(health, "other")).toBe("NOT_FOUND");
    health.close();
  });

  test("says NOT_SERVING when the server drains, and lets go of who watches it", async () => {
    await using draining = await startRpcListeners();
    const health = connectHealth(draining);
    const seen: string[] = [];
    const watch = health.watch({ service: "" });
    watch.on("error", () => {});
    watch.on("data", ({ status: serving }: { status: ServingStatus }) => seen.push(serving));
    const ended = new Promise((resolve) => {
      watch.on("end", resolve);
    });
    await eventually("the first word", () => seen.length > 0);
    await draining.grpcServer.drain(60_000);
    await ended;
    expect(seen).toEqual(["SERVING", "NOT_SERVING"]);
    health.close();
  });
});

describe("reflection", () => {
  const ask = (version: string) =>
    new Promise<Buffer[]>((resolve, reject) => {
      const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
      const stream = client.makeBidiStreamRequest(path, pass, pass);
      const answers: Buffer[] = [];
      stream.on("data", (answer: Buffer) => answers.push(answer));
      stream.on("error", reject);
      stream.on("end", () => resolve(answers));
      // list_services; file_containing_symbol
      stream.write(Buffer.from("\x3a\x01*"));
      const symbol = Buffer.from("taskwatch.v1.TaskService");
      stream.write(Buffer.concat([Buffer.from([0x22, symbol.length]), symbol]));
      stream.end();
    });

  test.each(["v1", "v1alpha"])("%s names our services and has their schema", async (version) => {
    const [list, files] = await ask(version);
    expect(list?.toString("latin1")).toContain("taskwatch.v1.TaskService");
    expect(list?.toString("latin1")).toContain("taskwatch.v1.QueueService");
    expect(files?.toString("latin1")).toContain("taskwatch/v1/task_service.proto");
    expect(files?.toString("latin1")).toContain("google/protobuf/timestamp.proto");
  });

  test("is left out if it is not wanted", async () => {
    await using server = await createGrpcServer({ api: listeners.api, address: "127.0.0.1:0", reflection: false });
    const other = new Client(server.address, credentials.createInsecure());
    const error = await new Promise<ServiceError | null>((resolve) => {
      const stream = other.makeBidiStreamRequest(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        pass,
        pass,
      );
      stream.on("error", (reason) => resolve(reason as ServiceError));
      stream.on("end", () => resolve(null));
      stream.resume();
      stream.end();
    });
    expect(error?.code).toBe(status.UNIMPLEMENTED);
    other.close();
  });
});

describe("a request that is none", () => {
  test("of the right method is refused with details", async () => {
    const answer = (await call("/taskwatch.v1.TaskService/GetStatus", Buffer.from([0xff, 0xff]))) as ServiceError;
    expect(answer.code).toBe(status.INVALID_ARGUMENT);
    expect(answer.metadata.get("grpc-status-details-bin")).toHaveLength(1);
  });

  test("of no method is unimplemented", async () => {
    const answer = (await call("/taskwatch.v1.TaskService/FlyToTheMoon", Buffer.alloc(0))) as ServiceError;
    expect(answer.code).toBe(status.UNIMPLEMENTED);
  });
});

import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test, type TestContext } from "vitest";

import { createTaskwatchClient } from "../../src/client/index.ts";
import type { ProjectProcess } from "../support/child-process.ts";
import { createBufCurlClient } from "../support/clients/buf-curl-client.ts";
import { createConnectClient } from "../support/clients/connect-client.ts";
import { createCurlClient } from "../support/clients/curl-client.ts";
import { createGrpcJsClient } from "../support/clients/grpc-js-client.ts";
import { createPythonClient } from "../support/clients/python-client.ts";
import { type ErrorJson, Refused, type ScenarioClient, type StatusJson } from "../support/clients/scenario-client.ts";
import { createSdkClient } from "../support/clients/sdk-client.ts";
import { eventually } from "../support/eventually.ts";
import { useNatsServer } from "../support/nats-server.ts";
import { type Service, startService, startWorkerProcess } from "../support/service.ts";
import { systemProgram } from "../support/system-program.ts";

const server = useNatsServer();
const queue = "scenario";
let service: Service;
let worker: ProjectProcess;

beforeAll(async () => {
  service = await startService(server.url);
  worker = await startWorkerProcess(server.url, { handlers: "test/support/handlers/ledger.ts", queue, slots: 20 });
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});

type Opened = { readonly client: ScenarioClient; readonly close?: () => void | PromiseLike<void> };

const clients: Readonly<Record<string, (context: TestContext) => Opened | Promise<Opened>>> = {
  "the SDK": () => {
    const client = createTaskwatchClient({ address: service.grpcAddress });
    return { client: createSdkClient(client), close: () => client.close() };
  },
  "grpc-js": () => {
    const client = createGrpcJsClient(service.grpcAddress);
    return { client, close: () => client[Symbol.dispose]() };
  },
  "JSON by curl": (context) => ({ client: createCurlClient(systemProgram(context, "curl"), service.httpUrl) }),
  "connect-es in JSON": () => ({
    client: createConnectClient(createConnectTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" })),
  }),
  "gRPC-Web": () => ({
    client: createConnectClient(createGrpcWebTransport({ baseUrl: service.httpUrl, httpVersion: "1.1" })),
  }),
  "buf curl by reflection": () => ({ client: createBufCurlClient(service.grpcAddress) }),
  "grpcio in Python": async (context) => {
    const client = await createPythonClient(systemProgram(context, "python3"), service.grpcAddress);
    return { client, close: () => client[Symbol.asyncDispose]() };
  },
};

describe.each(Object.entries(clients))("%s", (name, open) => {
  test("submits, watches to the end, gets, lists, cancels and is refused as every other client", async (context) => {
    const { client, close } = await open(context);
    try {
      await expect(scenario(client, name.replaceAll(/[^a-z]/gi, "-"))).resolves.toBe("passed");
    } finally {
      await close?.();
    }
  });
});

async function scenario(client: ScenarioClient, label: string): Promise<"passed"> {
  const labels = { client: label };
  const submitted = await status(client, "SubmitTask", {
    queue,
    type: "count",
    labels,
    payload: { json: { to: 30 } },
  });
  expect(submitted).toMatchObject({ state: "TASK_STATE_QUEUED", labels });
  const { taskId } = submitted;

  const seen = await client.watch(taskId);
  expect(seen.at(-1)).toMatchObject({ taskId, state: "TASK_STATE_SUCCEEDED", result: { json: 30 }, attempt: 1 });
  expect(seen.some(({ progress }) => progress?.total === 30)).toBe(true);
  expect(await status(client, "GetStatus", { taskId })).toMatchObject({
    state: "TASK_STATE_SUCCEEDED",
    result: { json: 30 },
  });

  const long = await status(client, "SubmitTask", {
    queue,
    type: "nap",
    labels,
    payload: { json: { ms: 60_000 } },
  });
  await eventually("the task to run", async () => {
    const { state } = await status(client, "GetStatus", { taskId: long.taskId });
    return state === "TASK_STATE_RUNNING";
  });
  const cancelled = await status(client, "CancelTask", { taskId: long.taskId, reason: "enough" });
  expect(cancelled).toMatchObject({ state: "TASK_STATE_CANCELLING", cancellation: { reason: "enough" } });
  expect((await client.watch(long.taskId)).at(-1)?.state).toBe("TASK_STATE_CANCELLED");

  const page = await client.call("ListTasks", { selector: { queues: [queue], labels } });
  const listed = page["statuses"] as StatusJson[];
  expect(listed.map((found) => found.taskId)).toEqual([long.taskId, taskId]);

  expect(await refusal(client, "CancelTask", { taskId })).toMatchObject({
    code: 9,
    reason: "TASK_ALREADY_ENDED",
    fields: [],
  });
  const unknown = { taskId: `${queue}_01ARZ3NDEKTSV4RRFFQ69G5FAV` };
  expect(await refusal(client, "GetStatus", unknown)).toMatchObject({ code: 5, reason: "TASK_NOT_FOUND", fields: [] });
  const bad = { queue: "a.b", type: "count" };
  expect(await refusal(client, "SubmitTask", bad)).toMatchObject({
    code: 3,
    reason: "REQUEST_INVALID",
    fields: ["queue"],
  });
  return "passed";
}

async function status(client: ScenarioClient, method: string, request: object): Promise<StatusJson> {
  return (await client.call(method, request))["status"] as StatusJson;
}

async function refusal(client: ScenarioClient, method: string, request: object): Promise<ErrorJson> {
  const outcome = await client.call(method, request).catch((error: unknown) => error);
  if (outcome instanceof Refused) return outcome.error;
  throw new Error("it was not refused", { cause: outcome });
}

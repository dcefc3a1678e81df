import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { DescMessage, DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { QueueService } from "../../../src/gen/taskwatch/v1/queue_service_pb.ts";
import { TaskService } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { loadPrincipals, type Principals } from "../../../src/rpc/access/principals.ts";
import { createGrpcServer } from "../../../src/rpc/grpc/grpc-server.ts";
import { createHttpServer } from "../../../src/rpc/http/http-server.ts";
import { methods, type Role } from "../../../src/rpc/methods.ts";
import { eventually } from "../../support/eventually.ts";
import { createRecordingLogger } from "../../support/recording-logger.ts";
import { errorOf, rpcClients, type RpcClient, type WatchError } from "../../support/rpc-clients.ts";
import { type RpcListeners, startRpcListeners } from "../../support/rpc-listeners.ts";
import { scriptedTaskId, snapshotFrom } from "../../support/scripted-operations.ts";

const keyOf = (role: Role) => `key-of-${role}`;
const entryOf = (role: Role, changes: object = {}) => ({
  name: `${role}-er`,
  namespace: "shop",
  roles: [role],
  sha256: createHash("sha256").update(keyOf(role)).digest("hex"),
  ...changes,
});
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

const request = { queue: "demo", type: "sleep", taskId: scriptedTaskId(1), taskIds: [scriptedTaskId(1)] };
const unaryMethods = [...TaskService.methods, ...QueueService.methods].filter(
  (method): method is DescMethodUnary => method.methodKind === "unary",
);
/** Something in every field that a rule asks for. */
const requestFor = ({ input }: DescMethodUnary): MessageInitShape<DescMessage> => {
  const fields = Object.entries(request).filter(([name]) => name in input.field);
  const items = input.field["requests"] === undefined ? {} : { requests: [{ queue: "demo", type: "sleep" }] };
  const settings = input.field["settings"] === undefined ? {} : { settings: {} };
  return { ...Object.fromEntries(fields), ...items, ...settings };
};

let folder: string;
let file: string;
let principals: Principals;
let listeners: RpcListeners;

const writeKeys = (...keys: object[]) => writeFile(file, JSON.stringify({ keys }));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "taskwatch-keys-"));
  file = join(folder, "keys.json");
  await writeKeys(entryOf("submit"), entryOf("read"), entryOf("operate"), entryOf("worker"));
  principals = await loadPrincipals({ file, pollIntervalMs: 20, logger: createRecordingLogger() });
  listeners = await startRpcListeners({ principals, credentialCheckMs: 20 });
  listeners.operations.put(snapshotFrom({ taskId: scriptedTaskId(1) }));
});
afterAll(async () => {
  await listeners[Symbol.asyncDispose]();
  principals.close();
  await rm(folder, { recursive: true });
});

describe.each(Object.entries(rpcClients))("by %s", (_name, makeClient) => {
  let client: RpcClient;
  beforeAll(() => {
    client = makeClient(listeners);
  });
  afterAll(() => client.close());

  test.each(unaryMethods.map((method) => [method.name, method] as const))(
    "%s asks for a credential, a good one, and a role",
    async (name, method) => {
      if (!client.speaks(method)) return;
      const seenBefore = listeners.operations.seen.length;
      const call = async (options: Parameters<RpcClient["unary"]>[2]) =>
        client.unary(method, requestFor(method), options);
      expect(errorOf(await call({}))).toMatchObject({
        code: "Unauthenticated",
        details: [{ reason: "CREDENTIAL_MISSING" }],
      });
      expect(errorOf(await call(bearer("wrong")))).toMatchObject({
        code: "Unauthenticated",
        details: [{ reason: "CREDENTIAL_INVALID" }],
      });
      const { roles } = methods.find(({ desc }) => desc === method)!;
      for (const role of ["submit", "read", "operate", "worker"] as const) {
        if (roles.includes(role)) continue;
        expect([role, errorOf(await call(bearer(keyOf(role))))]).toMatchObject([
          role,
          { code: "PermissionDenied", details: [{ reason: "ROLE_MISSING", metadata: { roles: roles.join(",") } }] },
        ]);
      }
      expect(listeners.operations.seen).toHaveLength(seenBefore);
      for (const role of roles) {
        const outcome = await call(bearer(keyOf(role)));
        const code = "error" in outcome ? outcome.error.code : "OK";
        expect([name, code]).toEqual([name, expect.stringMatching(/^(OK|Unimplemented)$/)]);
      }
    },
  );

  test("the operation learns who calls from the credential", async () => {
    await client.unary(TaskService.method.getStatus, { taskId: scriptedTaskId(1) }, bearer(keyOf("read")));
    expect(listeners.operations.seen.at(-1)?.caller).toMatchObject({ name: "read-er", namespace: "shop" });
  });

  test("a credential is checked before the request is", async () => {
    const error = errorOf(await client.unary(TaskService.method.getStatus, { taskId: "" }));
    expect(error.code).toBe("Unauthenticated");
  });
});

describe.each(Object.entries(rpcClients).filter(([name]) => /grpc-js|binary|Web/.test(name)))(
  "a watch by %s",
  (_name, makeClient) => {
    let client: RpcClient;
    beforeAll(() => {
      client = makeClient(listeners);
    });
    afterAll(() => client.close());

    const failureOf = async (next: Promise<unknown>) => {
      const thrown: unknown = await next.then(
        () => undefined,
        (error: unknown) => error,
      );
      return (thrown as WatchError).error;
    };

    test("asks for a credential and a role", async () => {
      const watch = (headers: Record<string, string>) =>
        client.watch({ taskIds: [scriptedTaskId(1)] }, { headers }).next();
      expect(await failureOf(watch({}))).toMatchObject({ code: "Unauthenticated" });
      expect(await failureOf(watch(bearer(keyOf("submit")).headers))).toMatchObject({ code: "PermissionDenied" });
    });

    test.each([
      ["is taken away", {}, []],
      ["changes", {}, [entryOf("read", { namespace: "other" })]],
      ["expires", { expires: () => new Date(Date.now() + 300).toISOString() }, undefined],
    ])("ends when its credential %s", async (_what, { expires }: { expires?: () => string }, after) => {
      await writeKeys(entryOf("submit"), entryOf("read", expires === undefined ? {} : { expires: expires() }));
      const opened = listeners.operations.watches.length;
      const authorization = bearer(keyOf("read"));
      // The file is looked at now and then.
      const messages = await eventually("the watch to open", async () => {
        const stream = client.watch({ taskIds: [scriptedTaskId(1)] }, authorization);
        const first = stream.next();
        first.catch(() => {});
        await eventually("the operation", () => listeners.operations.watches[opened], { timeoutMs: 1_000 });
        return { first };
      });
      const watch = listeners.operations.watches[opened]!;
      if (after !== undefined) await writeKeys(entryOf("submit"), ...after);
      expect(await failureOf(messages.first)).toMatchObject({
        code: "Unauthenticated",
        details: [{ reason: "CREDENTIAL_INVALID" }],
      });
      expect(watch.closed).toBe(true);
      expect(listeners.observer.watchEnds.at(-1)).toBe("credential_expired");
    });
  },
);

test("without credentials no listener opens itself to the network", async () => {
  await using open = await startRpcListeners();
  const address = "0.0.0.0:0";
  await expect(createGrpcServer({ api: open.api, address })).rejects.toThrow(/TASKWATCH_API_KEYS_FILE/);
  await expect(createHttpServer({ api: open.api, address })).rejects.toThrow(/TASKWATCH_API_KEYS_FILE/);
});

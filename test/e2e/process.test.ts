import { once } from "node:events";
import { createServer, type Server } from "node:net";

import { expect, test } from "vitest";

import { createTaskwatchClient } from "../../src/client/index.ts";
import { type ProjectProcess, startProjectProcess } from "../support/child-process.ts";
import { eventually } from "../support/eventually.ts";
import { openLedger } from "../support/ledger.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { connectRaw } from "../support/raw-http.ts";
import { startService, startWorkerProcess } from "../support/service.ts";

const handlers = "test/support/handlers/ledger.ts";
/** Far less than what a drain, a connection attempt or a handler would take here. */
const atOnceMs = 5_000;
/** Of a process that a signal ended: 128 and the number of the signal. */
const [endedBySigint, endedBySigterm] = [130, 143];

test("service and workers outlast a NATS that refuses them again and again, and go on when it lets them in", async () => {
  await using open = await startNatsServer();
  await using service = await startService(open.url);
  await using worker = await startWorkerProcess(open.url, { handlers, queue: "patient" });

  await open.kill();
  {
    const configuration = "authorization { user: nobody, password: here }";
    await using refusing = await startNatsServer({ port: open.port, configuration });
    // Both have by then been refused several times.
    const refusals = async () => (await refusing.log()).split("authentication error").length - 1;
    await eventually("refusals", async () => (await refusals()) >= 14, { timeoutMs: 30_000 });
  }
  expect([service.process.running, worker.running]).toEqual([true, true]);
  await open.restart();

  const readiness = `${service.adminUrl}/readyz`;
  await eventually("readiness", async () => (await fetch(readiness)).ok, { timeoutMs: 30_000 });
  await using client = createTaskwatchClient({ address: service.grpcAddress });
  const note = await client.submit({ queue: "patient", type: "note" });
  expect((await client.wait(note.taskId)).state).toBe("SUCCEEDED");
});

test("service and workers that wait for a silent NATS end at the first signal", async () => {
  await using nats = await startSilentNats();
  const expected = [
    { start: startServiceProcess, code: endedBySigterm },
    { start: startCommandLineWorker, code: endedBySigint },
  ];
  for (const { start, code } of expected) {
    const connected = nats.connected();
    await using child = start(nats.url);
    await connected;
    child.signal("SIGTERM");
    expect(await endOf(child)).toBe(code);
  }
});

test("service and workers that find a silent NATS say so and end by themselves", async () => {
  await using nats = await startSilentNats();
  await using service = startServiceProcess(nats.url);
  await using worker = startCommandLineWorker(nats.url);
  const { error } = await service.line("service cannot start");
  expect(error).toMatchObject({ message: expect.stringContaining(nats.url) as unknown });
  expect(await endOf(service)).toBe(1);
  expect(await endOf(worker)).toBe(5);
  expect(worker.output()).toContain(`cannot connect to NATS at ${nats.url}`);
});

test("a drain of the service is cut short by a signal of another kind", async () => {
  await using nats = await startNatsServer();
  await using service = await startService(nats.url, { environment: { TASKWATCH_DRAIN_SECONDS: "60" } });
  // A call that never ends, because the rest of it is not sent.
  const call = await connectRaw(
    new URL(service.httpUrl).host,
    "POST /taskwatch.v1.TaskService/GetStatus HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" +
      "expect: 100-continue\r\ncontent-length: 1000\r\n\r\n",
  );
  await call.until("100 Continue");
  service.process.signal("SIGTERM");
  await service.process.line("service drains");
  expect(service.process.running).toBe(true);
  service.process.signal("SIGINT");
  expect(await endOf(service.process)).toBe(endedBySigint);
  call.socket.destroy();
});

test("a drain of a worker is cut short by a signal of another kind, and its task goes to another worker", async () => {
  await using nats = await startNatsServer();
  await using ledger = await openLedger();
  await using service = await startService(nats.url);
  await using client = createTaskwatchClient({ address: service.grpcAddress });
  const serving = { handlers, queue: "cut", environment: { ...ledger.environment, TASKWATCH_DRAIN_SECONDS: "60" } };
  await using worker = await startWorkerProcess(nats.url, serving);

  const nap = await client.submit({ queue: "cut", type: "nap", payload: { ms: 60_000 } });
  await eventually("it to run", async () => (await client.get(nap.taskId)).state === "RUNNING");
  worker.signal("SIGTERM");
  await worker.line("worker drains");
  const signalledMs = performance.now();
  // To the command line, two signals within half a second are one Ctrl-C.
  await eventually("the next signal to count", () => performance.now() - signalledMs > 550);
  worker.signal("SIGINT");
  expect(await endOf(worker)).toBe(0);
  expect((await client.get(nap.taskId)).state).toBe("RETRYING");
});

function startServiceProcess(natsUrl: string): ProjectProcess {
  const anywhere = "127.0.0.1:0";
  return startProjectProcess({
    file: "src/main.ts",
    environment: {
      TASKWATCH_NATS_URL: natsUrl,
      TASKWATCH_GRPC_ADDRESS: anywhere,
      TASKWATCH_HTTP_ADDRESS: anywhere,
      TASKWATCH_ADMIN_ADDRESS: anywhere,
    },
  });
}

function startCommandLineWorker(natsUrl: string): ProjectProcess {
  const words = ["worker", "--nats", natsUrl, "--queue", "any", "--handlers", handlers];
  return startProjectProcess({ file: "src/cli/main.ts", arguments: words });
}

/** How it ends, if it does so at once. */
function endOf(child: ProjectProcess): Promise<number | NodeJS.Signals> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`it still runs:\n${child.output()}`)), atOnceMs);
  return new Promise<number | NodeJS.Signals>((resolve, reject) => {
    late.signal.addEventListener("abort", () => reject(late.signal.reason as Error), { once: true });
    void child.ended.then(resolve);
  }).finally(() => clearTimeout(timer));
}

interface SilentNats extends AsyncDisposable {
  readonly url: string;
  /** Resolves with the next connection. */
  connected(): Promise<void>;
}

/** Accepts connections, and says nothing. */
async function startSilentNats(): Promise<SilentNats> {
  const sockets: { destroy(): void }[] = [];
  const server: Server = createServer((socket) => {
    socket.on("error", () => undefined);
    sockets.push(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as { readonly port: number };
  return {
    url: `nats://127.0.0.1:${port}`,
    connected: async () => void (await once(server, "connection")),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/**
 * `npm start`: the whole of Taskwatch on this machine, for trying it out and for working on it.
 *
 * Runs a nats-server whose store is in `.taskwatch/`, the service, and a demo worker; stops them in the opposite order.
 * With `NATS_URL` the server that it names is used instead.
 */
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";

import { type NatsServer, startNatsServer } from "./nats-server.ts";
import { type Program, keepRunning, pause } from "./program.ts";
import { welcome } from "./welcome.ts";

const root = join(import.meta.dirname, "../..");
const state = join(root, ".taskwatch");
const usualNatsPort = 4222;
const workerAdminAddress = "127.0.0.1:9465";
const startTimeoutMs = 60_000;

const environment = {
  ...process.env,
  TASKWATCH_GRPC_ADDRESS: process.env["TASKWATCH_GRPC_ADDRESS"] ?? "127.0.0.1:50051",
  TASKWATCH_HTTP_ADDRESS: process.env["TASKWATCH_HTTP_ADDRESS"] ?? "127.0.0.1:8080",
  TASKWATCH_ADMIN_ADDRESS: process.env["TASKWATCH_ADMIN_ADDRESS"] ?? "127.0.0.1:9464",
};

process.chdir(root);
await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

async function main(): Promise<void> {
  const startedAt = performance.now();
  const stopRequest = listenForStop();
  await using running = new AsyncDisposableStack();

  await mkdir(state, { recursive: true });
  for (const name of ["TASKWATCH_GRPC_ADDRESS", "TASKWATCH_HTTP_ADDRESS", "TASKWATCH_ADMIN_ADDRESS"] as const) {
    if (!(await isFree(environment[name]))) throw new Error(takenMessage(name));
  }
  if (!(await isFree(workerAdminAddress)))
    throw new Error(`Something listens on ${workerAdminAddress} already: end it first.`);

  const natsUrl = await nats(running);
  const urls = { ...environment, TASKWATCH_NATS_URL: natsUrl };
  const service = program({ name: "service", script: "src/main.ts", environment: urls, stopTimeoutMs: 30_000 });
  running.defer(() => service.stop());
  stopRequest.onSecond(() => service.kill());
  const failure = await failureToStart(service, stopRequest.signal);
  if (failure !== undefined) throw new Error(failure);
  if (stopRequest.signal.aborted) return;
  service.settle();

  const worker = program({
    name: "demo-worker",
    script: "src/cli/main.ts",
    arguments: ["worker", "--queue", "demo", "--handlers", "src/dev/demo-handlers.ts", "--admin", workerAdminAddress],
    environment: urls,
    stopTimeoutMs: 30_000,
  });
  worker.settle();
  running.defer(() => worker.stop());
  stopRequest.onSecond(() => worker.kill());

  console.log(welcome({ environment: urls, workerAdminAddress, tookMs: performance.now() - startedAt }));
  await stopRequest.whenRequested;
  console.log("\nStopping; once more to stop at once.");
}

async function nats(running: AsyncDisposableStack): Promise<string> {
  const configured = process.env["NATS_URL"];
  if (configured !== undefined && configured !== "") return configured;
  const port = (await isFree(`127.0.0.1:${usualNatsPort}`)) ? { port: usualNatsPort } : {};
  const server = running.use(
    await startNatsServer({ ...port, storeDir: join(state, "nats"), syncInterval: "1s", detached: true }),
  );
  const stopping = new AbortController();
  const supervision = keepAlive(server, stopping.signal);
  running.defer(async () => {
    stopping.abort();
    await server.kill("SIGTERM");
    await supervision;
  });
  return server.url;
}

/** So that killing the server, to see what happens, shows what happens. */
async function keepAlive(server: NatsServer, signal: AbortSignal): Promise<void> {
  for (;;) {
    await server.ended;
    if (signal.aborted) return;
    console.log("nats-server ended; starting it again in 1 s.");
    if (!(await pause(1000, signal))) return;
    await server.restart().catch((error: unknown) => console.error(error));
  }
}

function program(options: {
  name: string;
  script: string;
  arguments?: readonly string[];
  environment: NodeJS.ProcessEnv;
  stopTimeoutMs: number;
}): Program {
  return keepRunning({
    ...options,
    script: [join(root, options.script), ...(options.arguments ?? [])],
    logFile: join(state, `${options.name}.log`),
    onRestart: (message) => console.log(message),
  });
}

/** Undefined once the service says that it can answer, or a stop is asked for; else why it is not going to. */
async function failureToStart(service: Program, signal: AbortSignal): Promise<string | undefined> {
  const decided = new AbortController();
  try {
    return await Promise.race([
      whenReady(AbortSignal.any([signal, decided.signal, AbortSignal.timeout(startTimeoutMs)])),
      service.failed,
    ]);
  } finally {
    decided.abort();
  }
}

async function whenReady(signal: AbortSignal): Promise<string | undefined> {
  const url = `http://${environment.TASKWATCH_ADMIN_ADDRESS}/readyz`;
  do {
    const response = await fetch(url, { signal }).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok === true) return undefined;
  } while (await pause(50, signal));
  const isLate = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  return isLate ? `The service was not ready in time; see ${join(state, "service.log")}.` : undefined;
}

interface StopRequest {
  readonly signal: AbortSignal;
  readonly whenRequested: Promise<void>;
  /** Called when a stop is asked for a second time. */
  onSecond(kill: () => void): void;
}

function listenForStop(): StopRequest {
  const controller = new AbortController();
  const requested = Promise.withResolvers<void>();
  const kills: (() => void)[] = [];
  let firstAt = 0;
  const onSignal = (): void => {
    if (!controller.signal.aborted) {
      firstAt = performance.now();
      controller.abort();
      requested.resolve();
    } else if (performance.now() - firstAt > 500) {
      // One Ctrl-C may arrive twice: from the terminal, and passed on by npm.
      for (const kill of kills) kill();
    }
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  return { signal: controller.signal, whenRequested: requested.promise, onSecond: (kill) => void kills.push(kill) };
}

function takenMessage(name: keyof typeof environment): string {
  return `${environment[name]} is taken: is Taskwatch running already? Stop what listens there, or set ${name} to another address.`;
}

async function isFree(address: string): Promise<boolean> {
  const { hostname, port } = new URL(`tcp://${address}`);
  const server = createServer();
  return await new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen({ host: hostname.replaceAll(/[[\]]/g, ""), port: Number(port), exclusive: true }, () =>
      server.close(() => resolve(true)),
    );
  });
}

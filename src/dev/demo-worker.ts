/**
 * A worker process that serves the queue `demo`: what `npm start` runs beside the service, and what to copy for a worker of
 * one's own. Configured by `TASKWATCH_NATS_URL`, and by `TASKWATCH_REPLICAS` and `TASKWATCH_LEASE_SECONDS` as the service is,
 * because whoever comes first makes the queue.
 */
import { constants } from "node:os";

import { createWorker, type WorkerLogger } from "../worker/index.ts";
import { handlers } from "./demo-handlers.ts";

const worker = createWorker({
  nats: process.env["TASKWATCH_NATS_URL"] ?? "nats://127.0.0.1:4222",
  queue: "demo",
  handlers,
  newQueue: {
    ...numberFrom("TASKWATCH_REPLICAS", (replicas) => ({ replicas })),
    ...numberFrom("TASKWATCH_LEASE_SECONDS", (seconds) => ({ leaseMs: seconds * 1000 })),
  },
  drainTimeoutMs: 10_000,
  logger: jsonLines(),
});

let signals = 0;
process.on("SIGTERM", onSignal);
process.on("SIGINT", onSignal);
await worker.start();

/**
 * The first signal, of either kind, lets running tasks finish, the second one hands them to another worker, the third one ends
 * the process, as does the first one while the worker starts: it has nothing to lose then.
 */
function onSignal(signal: NodeJS.Signals): void {
  signals += 1;
  if (signals > 2 || worker.state === "starting") process.exit(128 + constants.signals[signal]);
  void (signals === 1 ? worker.drain() : worker.stop());
}

function numberFrom<T>(name: string, use: (value: number) => T): T | undefined {
  const text = process.env[name];
  return text === undefined || text === "" ? undefined : use(Number(text));
}

function jsonLines(): WorkerLogger {
  const write =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      console.log(JSON.stringify({ time: new Date().toISOString(), level, message, ...fields }, readable));
  return { debug: () => undefined, info: write("info"), warn: write("warn"), error: write("error") };
}

function readable(_key: string, value: unknown): unknown {
  return value instanceof Error ? (value.stack ?? value.message) : value;
}

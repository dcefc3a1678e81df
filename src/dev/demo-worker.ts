/**
 * A worker process that serves the queue `demo`: what `npm start` runs beside the service, and what to copy for a worker of
 * one's own. Configured by `TASKWATCH_NATS_URL`, and by `TASKWATCH_REPLICAS` and `TASKWATCH_LEASE_SECONDS` as the service is,
 * because whoever comes first makes the queue.
 */
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

process.once("SIGTERM", drainThenStop);
process.once("SIGINT", drainThenStop);
await worker.start();

/** The first signal lets running tasks finish, the second one hands them to another worker. */
function drainThenStop(): void {
  process.once("SIGTERM", () => void worker.stop());
  process.once("SIGINT", () => void worker.stop());
  void worker.drain();
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

/** A worker as a process of its own, with the handlers that keep a ledger. Arguments: URL of NATS, queue, slots. */
import { createWorker, type WorkerLogger } from "../../../src/worker/index.ts";
import { handlers } from "../../support/handlers/ledger.ts";

const [nats = "", queue = "", slots = "10"] = process.argv.slice(2);
const log = (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
  process.stdout.write(`${JSON.stringify({ message, ...fields })}\n`);
const logger: WorkerLogger = { debug: log, info: log, warn: log, error: log };

const worker = createWorker({ nats, queue, handlers, slots: Number(slots), logger, settleTimeoutMs: 500 });
await worker.start();
log("worker is ready", { name: worker.name });
process.once("SIGTERM", () => void worker.drain());

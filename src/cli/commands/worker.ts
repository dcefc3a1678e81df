import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

import type { Command } from "commander";

import type { WorkerProcessOptions } from "../../worker-process.ts";
import type { Handler } from "../../worker/index.ts";
import { UsageError } from "../cli-errors.ts";
import type { Io } from "../io.ts";
import type { Session } from "../session.ts";
import { countValue, durationValue } from "./option-values.ts";
import { workerLog } from "./worker-log.ts";

interface WorkerFlags {
  readonly queue: string;
  readonly handlers: string;
  readonly slots?: number;
  readonly name?: string;
  readonly nats?: string;
  readonly natsCreds?: string;
  readonly drain?: number;
  readonly admin?: string;
}

/** `taskwatch worker`: runs tasks. */
export function addWorker(program: Command, session: Session): void {
  program
    .command("worker")
    .description("run the tasks of a queue with the handlers of a module")
    .requiredOption("-q, --queue <queue>", "the queue to serve")
    .requiredOption("--handlers <module>", "a module that exports `handlers`, by task type")
    .option("--slots <count>", "how many tasks to run at once (default: 10)", countValue)
    .option("--name <name>", "its own name, shown in attempts (default: made up)")
    .option("--nats <url>", "servers of NATS (TASKWATCH_NATS_URL, nats://127.0.0.1:4222)")
    .option("--nats-creds <file>", "credentials for NATS (TASKWATCH_NATS_CREDS_FILE)")
    .option("--admin <address>", "where metrics and health are served (TASKWATCH_ADMIN_ADDRESS; default: nowhere)")
    .option(
      "--drain <duration>",
      "how long running tasks may go on after the first signal (default: 20s)",
      durationValue,
    )
    .action(async (flags: WorkerFlags) => {
      const { io } = session;
      const logger = workerLog(io);
      const handlers = await loadHandlers(flags.handlers);
      const { startWorkerProcess } = await import("../../worker-process.ts");
      const starting = startWorkerProcess({ ...optionsFrom(flags, io), handlers, logger });
      await using running = await unlessInterrupted(starting, io.interrupted);
      const { worker, adminAddress: admin } = running;
      const stop = (): void => void worker.stop();
      io.insisted.addEventListener("abort", stop, { once: true });
      logger.info("worker is ready", { worker: worker.name, queue: worker.queue, types: Object.keys(handlers), admin });
      const failure = await Promise.race([aborted(io.interrupted), worker.failed]);
      if (failure === undefined) {
        await worker.drain();
      } else {
        logger.error("worker cannot go on", { worker: worker.name, queue: worker.queue, error: failure });
        session.exitCode = 1;
      }
    });
}

/** The handlers that a module exports as `handlers`, or by default. Throws a `UsageError` if it does not. */
export async function loadHandlers(path: string): Promise<Readonly<Record<string, Handler>>> {
  const url = pathToFileURL(resolve(path)).href;
  let module: Readonly<Record<string, unknown>>;
  try {
    module = (await import(url)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new UsageError(`cannot load ${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const handlers = module["handlers"] ?? module["default"];
  if (typeof handlers !== "object" || handlers === null) {
    throw new UsageError(`${path} does not export \`handlers\`, an object of functions by task type`);
  }
  return handlers as Readonly<Record<string, Handler>>;
}

function optionsFrom(flags: WorkerFlags, { environment }: Io): Omit<WorkerProcessOptions, "handlers" | "logger"> {
  const setting = (name: string): string | undefined => {
    const text = environment[`TASKWATCH_${name}`];
    return text === "" ? undefined : text;
  };
  const number = (name: string): number | undefined => {
    const text = setting(name);
    if (text === undefined || /^[1-9]\d{0,8}$/.test(text)) return text === undefined ? undefined : Number(text);
    throw new UsageError(`TASKWATCH_${name} must be a whole number from 1, got "${text}"`);
  };
  const [replicas, leaseSeconds, drainSeconds] = ["REPLICAS", "LEASE_SECONDS", "DRAIN_SECONDS"].map(number);
  const drainTimeoutMs = flags.drain ?? (drainSeconds === undefined ? undefined : drainSeconds * 1_000);
  return {
    nats: {
      url: flags.nats ?? setting("NATS_URL") ?? "nats://127.0.0.1:4222",
      credsFile: flags.natsCreds ?? setting("NATS_CREDS_FILE"),
      inboxPrefix: setting("NATS_INBOX_PREFIX"),
    },
    queue: flags.queue,
    adminAddress: flags.admin ?? setting("ADMIN_ADDRESS"),
    adminToken: setting("ADMIN_TOKEN"),
    commit: setting("COMMIT"),
    ...(flags.slots !== undefined && { slots: flags.slots }),
    ...(flags.name !== undefined && { name: flags.name }),
    ...(drainTimeoutMs !== undefined && { drainTimeoutMs }),
    newQueue: {
      ...(replicas !== undefined && { replicas }),
      ...(leaseSeconds !== undefined && { leaseMs: leaseSeconds * 1_000 }),
    },
  };
}

/** Waits for it to start. Throws the reason of the signal once that is aborted; what starts all the same is then ended. */
async function unlessInterrupted<T extends AsyncDisposable>(starting: Promise<T>, signal: AbortSignal): Promise<T> {
  const started = await Promise.race([starting, aborted(signal)]);
  if (started !== undefined) return started;
  const end = (late: T): PromiseLike<void> => late[Symbol.asyncDispose]();
  // Nobody waits for it any more.
  starting.then(end).catch(() => undefined);
  throw signal.reason as Error;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener("abort", () => done(), { once: true });
  });
}

import { setTimeout as sleep } from "node:timers/promises";

import { createTaskwatchClient, type TaskwatchClient } from "../../src/client/index.ts";
import { startNatsServer } from "./nats-server.ts";
import type { ScrapeTarget } from "./prometheus.ts";
import { startService, startWorkerProcess } from "./service.ts";

/** Something to scrape that is being used all the time. */
export interface LoadedApp extends AsyncDisposable {
  /** Its admin servers: an API process and a worker. */
  readonly targets: readonly ScrapeTarget[];
}

const queue = "load";

/** Starts a nats-server, the service and a worker, and submits, watches, lists, cancels and fails tasks until it is disposed. */
export async function startLoadedApp(): Promise<LoadedApp> {
  const resources = new AsyncDisposableStack();
  try {
    const server = resources.use(await startNatsServer());
    const service = resources.use(await startService(server.url));
    const environment = { TASKWATCH_ADMIN_ADDRESS: "127.0.0.1:0" };
    const handlers = "test/support/handlers/ledger.ts";
    const worker = resources.use(await startWorkerProcess(server.url, { handlers, queue, slots: 8, environment }));
    const { admin } = await worker.line("worker is ready");
    const client = resources.use(createTaskwatchClient({ address: service.grpcAddress }));
    const stopping = new AbortController();
    const using = Promise.all([submitAll(client, stopping.signal), askAll(client, stopping.signal)]);
    resources.defer(async () => {
      stopping.abort();
      await using;
    });
    const targets = [
      { job: "taskwatch-api", address: new URL(service.adminUrl).host },
      { job: "taskwatch-worker", address: String(admin) },
    ];
    const kept = resources.move();
    return { targets, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}

/** Every tenth task breaks, every tenth is run again, some wait, some are cancelled; each is watched to its end. */
async function submitAll(client: TaskwatchClient, signal: AbortSignal): Promise<void> {
  const watching = new Set<Promise<void>>();
  for (let index = 0; !signal.aborted; index += 1) {
    const { taskId } = await client.submit({ queue, ...taskOf(index) });
    if (index % 10 === 4) await client.cancel(taskId).catch(() => undefined);
    const watch = watchToTheEnd(client, taskId, signal).finally(() => watching.delete(watch));
    watching.add(watch);
    await sleep(20);
  }
  await Promise.all(watching);
}

function taskOf(index: number) {
  switch (index % 10) {
    case 1:
      return { type: "break" };
    case 2:
      return { type: "fail", retry: { maxAttempts: 2, initialBackoffMs: 20 } };
    case 3:
      return { type: "note", delayMs: 5_000 };
    case 4:
      return { type: "nap", payload: { ms: 60_000 } };
    case 5:
      return { type: "count", payload: { to: 20 } };
    default:
      return { type: "nap", payload: { ms: 30 } };
  }
}

async function watchToTheEnd(client: TaskwatchClient, taskId: string, signal: AbortSignal): Promise<void> {
  try {
    for await (const event of client.watch(taskId, { signal })) void event;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function askAll(client: TaskwatchClient, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await askOnce(client, signal);
    await sleep(50);
  }
}

async function askOnce(client: TaskwatchClient, signal: AbortSignal): Promise<void> {
  try {
    for await (const { taskId } of client.list({ queues: [queue], pageSize: 50, signal })) {
      await client.get(taskId, { signal });
    }
    // One that is refused, so that there are errors to count.
    await client.get("no-such-task", { signal }).catch(() => undefined);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

import type { ConsumerInfo } from "@nats-io/jetstream";

import type { Nats } from "./connection.ts";
import { apiCodes, hasApiCode } from "./errors.ts";
import { consumerSubjects, jobStream, priorities, type PriorityName, queueFromJobStream } from "./names.ts";

/** How full the stream of a queue is. */
export interface QueueFigures {
  readonly queue: string;
  /** Jobs that wait for a worker. */
  readonly waiting: Readonly<Record<PriorityName, number>>;
  /** Jobs that are with workers. */
  readonly running: Readonly<Record<PriorityName, number>>;
  /** Delayed messages and dead letters together. */
  readonly others: number;
  /** When the job that waits longest was stored, in ms since 1970 by the server's clock; undefined if none waits. */
  readonly oldestWaitingMs: number | undefined;
}

/** Reads the figures of all queues, a few requests a queue. */
export async function readQueueFigures(nats: Nats): Promise<QueueFigures[]> {
  const queues: string[] = [];
  for await (const stream of nats.manager.streams.names("job.>")) {
    const queue = queueFromJobStream(stream);
    if (queue !== undefined) queues.push(queue);
  }
  const figures = await Promise.all(queues.map((queue) => readFigures(nats, queue).catch(gone)));
  return figures.filter((found) => found !== undefined);
}

async function readFigures(nats: Nats, queue: string): Promise<QueueFigures> {
  const { manager } = nats;
  const stream = jobStream(queue);
  const [info, ...consumers] = await Promise.all([
    manager.streams.info(stream),
    ...priorities.map((priority) => manager.consumers.info(stream, priority)),
  ]);
  const waiting = byPriority(consumers, "num_pending");
  const running = byPriority(consumers, "num_ack_pending");
  const jobs = [waiting, running].flatMap((counts) => Object.values(counts)).reduce((sum, count) => sum + count, 0);
  const oldest = await Promise.all(consumers.map((consumer) => oldestWaitingMs(nats, queue, consumer)));
  const found = oldest.filter((time) => time !== undefined);
  return {
    queue,
    waiting,
    running,
    others: Math.max(0, info.state.messages - jobs),
    oldestWaitingMs: found.length === 0 ? undefined : Math.min(...found),
  };
}

function byPriority(
  consumers: readonly ConsumerInfo[],
  figure: "num_pending" | "num_ack_pending",
): Record<PriorityName, number> {
  const [high, normal, low] = consumers.map((consumer) => consumer[figure]);
  return { high: high ?? 0, normal: normal ?? 0, low: low ?? 0 };
}

/** The first job behind those that were delivered. What was given back is not counted: it waits for a moment only. */
async function oldestWaitingMs(
  { leaderReads }: Nats,
  queue: string,
  { name, num_pending, delivered }: ConsumerInfo,
): Promise<number | undefined> {
  const priority = priorities.find((candidate) => candidate === name);
  if (num_pending === 0 || priority === undefined) return undefined;
  const query = { seq: delivered.stream_seq + 1, next_by_subj: consumerSubjects(queue, priority) };
  const message = await leaderReads.read(jobStream(queue), query);
  return message === undefined ? undefined : Date.parse(message.timestamp);
}

/** A queue that is being made has no consumers yet; one that was deleted has nothing. */
function gone(error: unknown): undefined {
  if (hasApiCode(error, apiCodes.consumerNotFound) || hasApiCode(error, apiCodes.streamNotFound)) return undefined;
  throw error;
}

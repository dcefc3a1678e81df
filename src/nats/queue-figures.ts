import type { Nats } from "./connection.ts";
import { hasApiCode, apiCodes } from "./errors.ts";
import { jobStream, priorities, type PriorityName, queueFromJobStream } from "./names.ts";

/** How full the stream of a queue is. */
export interface QueueFigures {
  readonly queue: string;
  /** Jobs that wait for a worker. */
  readonly waiting: Readonly<Record<PriorityName, number>>;
  /** Jobs that are with workers. */
  readonly running: Readonly<Record<PriorityName, number>>;
  /** Delayed messages and dead letters together. */
  readonly others: number;
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

async function readFigures({ manager }: Nats, queue: string): Promise<QueueFigures> {
  const stream = jobStream(queue);
  const [info, ...consumers] = await Promise.all([
    manager.streams.info(stream),
    ...priorities.map((priority) => manager.consumers.info(stream, priority)),
  ]);
  const by = (figure: "num_pending" | "num_ack_pending") => {
    const [high, normal, low] = consumers.map((consumer) => consumer[figure]);
    return { high: high ?? 0, normal: normal ?? 0, low: low ?? 0 };
  };
  const waiting = by("num_pending");
  const running = by("num_ack_pending");
  const jobs = [waiting, running].flatMap((counts) => Object.values(counts)).reduce((sum, count) => sum + count, 0);
  return { queue, waiting, running, others: Math.max(0, info.state.messages - jobs) };
}

/** A queue that is being made has no consumers yet; one that was deleted has nothing. */
function gone(error: unknown): undefined {
  if (hasApiCode(error, apiCodes.consumerNotFound) || hasApiCode(error, apiCodes.streamNotFound)) return undefined;
  throw error;
}

import { setTimeout as sleep } from "node:timers/promises";

import type { JobDelivery } from "../../nats/job-delivery.ts";
import type { Task } from "../../task/task.ts";
import type { WorkerRuntime } from "../worker-runtime.ts";

/**
 * Keeps a job whose task may be running elsewhere, for one lease by this process's own clock, and returns the record as it is
 * then: if it has not moved, no attempt is alive. Undefined if the worker drains meanwhile.
 */
export async function holdForOneLease(
  { leaseMs, draining, records }: Pick<WorkerRuntime, "leaseMs" | "draining" | "records">,
  delivery: Pick<JobDelivery, "extend" | "key">,
): Promise<Task | undefined> {
  delivery.extend();
  const beat = setInterval(() => delivery.extend(), leaseMs / 3);
  try {
    await sleep(leaseMs, undefined, { signal: draining });
    return await records.read(delivery.key, draining);
  } catch (error) {
    if (draining.aborted) return undefined;
    throw error;
  } finally {
    clearInterval(beat);
  }
}

/**
 * Parts with a job whose task is running elsewhere.
 *
 * If it runs under another job, this one is given back, to be dropped when that has ended. If it runs under this very job, which was
 * delivered again under a count that proves nothing, nothing is said: the attempt extends it, and giving it back would raise the
 * count until it looked like a proof.
 */
export function letGo(delivery: JobDelivery, record: Task, leaseMs: number): void {
  if (Number(record.head.jobSequence) !== delivery.jobSequence) delivery.giveBack(leaseMs);
}

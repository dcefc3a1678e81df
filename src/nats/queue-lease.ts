import { millis } from "@nats-io/transport-node";

import type { Nats } from "./connection.ts";
import { jobStream, priorities } from "./names.ts";
import { withPatience } from "./patience.ts";

/**
 * The lease of a queue as its consumers have it, in ms: what the server goes by, whatever is configured elsewhere. Of several,
 * the shortest. Throws STORE_UNAVAILABLE, and what the server answers if the queue has not been made.
 */
export async function readQueueLeaseMs({ manager }: Nats, queue: string): Promise<number> {
  const leases = await Promise.all(
    priorities.map(async (priority) => {
      const { config } = await withPatience(() => manager.consumers.info(jobStream(queue), priority));
      return millis(config.ack_wait ?? 0);
    }),
  );
  return Math.min(...leases);
}

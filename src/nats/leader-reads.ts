import type { JetStreamManager, MsgRequest, StoredMsg } from "@nats-io/jetstream";

import { apiCodes, hasApiCode, storeUnavailable } from "./errors.ts";

/**
 * How many reads are under way at once. A server that has 10,000 requests of its API waiting drops all of them, everybody's, so
 * one process must stay far from that.
 */
const maxUnderWay = 256;
const maxWaiting = 20_000;

/** Reads of single messages from the leaders of their streams, a bounded number at once. */
export interface LeaderReads {
  /**
   * The message that a query finds; undefined if there is none. Rejects with STORE_UNAVAILABLE when too many reads wait, and
   * as the client library does.
   */
  read(stream: string, query: MsgRequest): Promise<StoredMsg | undefined>;
}

/** Leader reads over one connection. */
export function createLeaderReads(manager: JetStreamManager): LeaderReads {
  const waiting: (() => void)[] = [];
  let underWay = 0;
  const enter = (): Promise<void> | undefined => {
    if (underWay < maxUnderWay) {
      underWay += 1;
      return undefined;
    }
    if (waiting.length >= maxWaiting) throw storeUnavailable(new Error("too many reads wait for NATS"));
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push(resolve);
    return promise;
  };
  const leave = (): void => {
    const next = waiting.shift();
    if (next === undefined) underWay -= 1;
    else next();
  };
  return {
    async read(stream, query) {
      await enter();
      try {
        return (await manager.streams.getMessage(stream, query)) ?? undefined;
      } catch (error) {
        if (hasApiCode(error, apiCodes.messageNotFound)) return undefined;
        throw error;
      } finally {
        leave();
      }
    },
  };
}

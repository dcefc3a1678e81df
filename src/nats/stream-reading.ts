/**
 * Reads what a stream holds, in order, without a consumer: a work queue admits none beside those of its workers.
 *
 * Done by hand, because the client library's batch reader keeps its subscription for good when it is read as an iterator,
 * waits for ever when the server falls silent in the middle, and fails where nothing is left to read.
 */
import { createInbox, type Msg, type MsgHdrs } from "@nats-io/transport-node";

import type { Nats } from "./connection.ts";
import { storeUnavailable } from "./errors.ts";

/** Payloads come along; this bounds how much of them is under way at once. */
const batch = { messages: 256, bytes: 4 * 1024 * 1024 };
const silenceMs = 5_000;

/** What to read, and what becomes of it. */
export interface StreamReading {
  readonly stream: string;
  /** Messages before this sequence are left out. */
  readonly fromSequence: number;
  readonly onMessage: (subject: string, fields: MsgHdrs) => void;
  readonly signal: AbortSignal;
  /** Where messages are received. Default `_INBOX`. */
  readonly inboxPrefix?: string | undefined;
}

/**
 * Reads one batch. Returns the sequence at which to read on; undefined when there is nothing after it.
 *
 * Any replica may answer, so the last few messages of a moment may be missing. Throws STORE_UNAVAILABLE when the server
 * falls silent or refuses.
 */
export async function readStreamBatch(
  { connection }: Nats,
  { stream, fromSequence, onMessage, signal, inboxPrefix }: StreamReading,
): Promise<number | undefined> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  let last: number | undefined;
  const onReply = (message: Msg) => {
    silence.refresh();
    const { headers } = message;
    const code = headers?.code ?? 0;
    if (code === 204) resolve(last === undefined ? undefined : last + 1);
    else if (code === 404) resolve(undefined);
    else if (code !== 0) reject(storeUnavailable(new Error(`${code} ${headers?.description ?? ""}`)));
    else if (headers !== undefined) {
      last = Number.parseInt(headers.get("Nats-Sequence"), 10);
      onMessage(headers.get("Nats-Subject"), headers);
    }
  };
  const inbox = createInbox(inboxPrefix);
  const subscription = connection.subscribe(inbox, {
    callback: (error, message) => (error === null ? onReply(message) : reject(storeUnavailable(error))),
  });
  const silence = setTimeout(() => reject(storeUnavailable(new Error("no answer to a read in time"))), silenceMs);
  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort);
  try {
    const request = { seq: fromSequence, batch: batch.messages, max_bytes: batch.bytes };
    connection.publish(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(request), { reply: inbox });
    return await promise;
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", onAbort);
    subscription.unsubscribe();
  }
}

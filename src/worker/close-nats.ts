import type { Nats } from "../nats/connection.ts";

const timeoutMs = 2_000;

/** Closes a connection: in good order if the server answers, for which there are 2 s, and else at once. */
export async function closeNats(nats: Nats): Promise<void> {
  const { promise: givenUp, resolve: giveUp } = Promise.withResolvers<void>();
  const timer = setTimeout(giveUp, timeoutMs);
  const isClosed = await Promise.race([nats[Symbol.asyncDispose]().then(() => true), givenUp]);
  clearTimeout(timer);
  if (isClosed === true) return;
  nats.publisher.close();
  await nats.connection.close();
}

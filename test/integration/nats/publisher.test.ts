import { headers } from "@nats-io/transport-node";
import { expect, test } from "vitest";

import { connectNats } from "../../../src/nats/connection.ts";
import { OutcomeUnknown, WriteConflict } from "../../../src/nats/errors.ts";
import { createPublisher, type WriteResult } from "../../../src/nats/publisher.ts";
import { TaskError } from "../../../src/task/errors.ts";
import { eventually } from "../../support/eventually.ts";
import { startNatsServer, useNatsServer } from "../../support/nats-server.ts";
import { stopProcess } from "../../support/stopped-process.ts";

const server = useNatsServer();
const data = new Uint8Array(10);

async function connectWithStream(url: string) {
  const nats = await connectNats({ url, name: "test" });
  await nats.manager.streams.add({ name: "P", subjects: ["p.>"], max_msgs_per_subject: 1, allow_direct: true });
  return nats;
}

function expecting(sequence: number) {
  const fields = headers();
  fields.set("Nats-Expected-Last-Subject-Sequence", String(sequence));
  return fields;
}

test("many writes at once are each answered with their own sequence, in order", async () => {
  await using nats = await connectWithStream(server.url);
  const publishes = Array.from({ length: 10_000 }, (_, index) =>
    nats.publisher.publish({ subject: `p.many.${index}`, data }),
  );
  const sequences = await Promise.all(publishes);
  const first = sequences[0] ?? 0;
  expect(sequences).toEqual(sequences.map((_, index) => first + index));
  expect(nats.publisher.inFlight).toBe(0);
});

test("a write over another than the expected sequence is a conflict", async () => {
  await using nats = await connectWithStream(server.url);
  const write = { subject: "p.cas", data };
  const sequence = await nats.publisher.publish({ ...write, headers: expecting(0) });
  await expect(nats.publisher.publish({ ...write, headers: expecting(0) })).rejects.toBeInstanceOf(WriteConflict);
  await expect(nats.publisher.publish({ ...write, headers: expecting(sequence) })).resolves.toBeGreaterThan(sequence);
});

test("of writers that race for one sequence exactly one wins", async () => {
  await using nats = await connectWithStream(server.url);
  for (let round = 0; round < 50; round += 1) {
    const publishes = Array.from({ length: 16 }, () =>
      nats.publisher.publish({ subject: `p.race.${round}`, data, headers: expecting(0) }),
    );
    const settled = await Promise.allSettled(publishes);
    expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  }
});

test("a subject that no stream stores is refused, not unknown", async () => {
  await using nats = await connectWithStream(server.url);
  const refused = nats.publisher.publish({ subject: "nobody.listens", data });
  await expect(refused).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
});

test("a write to a server that does not answer is unknown, and is stored all the same once it does", async () => {
  await using own = await startNatsServer();
  await using nats = await connectWithStream(own.url);
  const results: WriteResult[] = [];
  const publisher = createPublisher({
    connection: nats.connection,
    timeoutMs: 300,
    observer: { natsWrite: ({ result }) => results.push(result) },
  });
  await stopProcess(own.pid);
  try {
    await expect(publisher.publish({ subject: "p.slow", data })).rejects.toBeInstanceOf(OutcomeUnknown);
  } finally {
    process.kill(own.pid, "SIGCONT");
  }
  await eventually("the write to be stored", () => nats.manager.streams.getMessage("P", { last_by_subj: "p.slow" }));
  expect(results).toEqual(["unknown"]);
  publisher.close();
});

test("writes while the server is down wait for it, and what was under way is unknown", async () => {
  await using own = await startNatsServer();
  await using nats = await connectWithStream(own.url);
  await stopProcess(own.pid);
  const underWay = nats.publisher.publish({ subject: "p.under-way", data }).catch((error: unknown) => error);
  await own.kill();
  expect(await underWay).toBeInstanceOf(OutcomeUnknown);
  await eventually("the loss of the connection", () => !nats.connected);
  const waiting = nats.publisher.publish({ subject: "p.waiting", data });
  await own.restart();
  await expect(waiting).resolves.toBeGreaterThan(0);
});

test("a write that could not be sent in time is refused: it cannot land later", async () => {
  await using own = await startNatsServer();
  await using nats = await connectWithStream(own.url);
  const publisher = createPublisher({ connection: nats.connection, timeoutMs: 300 });
  await own.kill();
  await eventually("the loss of the connection", () => !nats.connected);
  const refused = publisher.publish({ subject: "p.never", data });
  await expect(refused).rejects.toBeInstanceOf(TaskError);
  await own.restart();
  await eventually("the connection", () => nats.connected);
  expect(await nats.manager.streams.getMessage("P", { last_by_subj: "p.never" })).toBeNull();
  publisher.close();
});

test("the window bounds what is under way, and everything still gets through", async () => {
  await using nats = await connectWithStream(server.url);
  const publisher = createPublisher({ connection: nats.connection, window: 8 });
  let most = 0;
  const publishes = Array.from({ length: 100 }, async (_, index) => {
    const sequence = await publisher.publish({ subject: `p.window.${index}`, data });
    most = Math.max(most, publisher.inFlight);
    return sequence;
  });
  expect(publisher.inFlight).toBe(8);
  expect(new Set(await Promise.all(publishes)).size).toBe(100);
  expect(most).toBeLessThanOrEqual(8);
  publisher.close();
});

test("beyond sixteen windows of waiting writes the next is refused at once", async () => {
  await using nats = await connectWithStream(server.url);
  const publisher = createPublisher({ connection: nats.connection, window: 1 });
  const accepted = Array.from({ length: 17 }, (_, index) => publisher.publish({ subject: `p.full.${index}`, data }));
  await expect(publisher.publish({ subject: "p.full.x", data })).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
  await Promise.all(accepted);
  publisher.close();
});

test("closing fails what waits", async () => {
  await using nats = await connectWithStream(server.url);
  const publisher = createPublisher({ connection: nats.connection, window: 1 });
  const publishes = Promise.allSettled([1, 2].map((index) => publisher.publish({ subject: `p.close.${index}`, data })));
  publisher.close();
  expect((await publishes).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await expect(publisher.publish({ subject: "p.close.3", data })).rejects.toMatchObject({
    reason: "STORE_UNAVAILABLE",
  });
});

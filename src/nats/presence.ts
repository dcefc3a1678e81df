import { toBinary } from "@bufbuild/protobuf";
import { headers } from "@nats-io/transport-node";

import { type Worker, WorkerSchema } from "../gen/taskwatch/v1/queue_service_pb.ts";
import type { Nats } from "./connection.ts";
import { metaStream, metaSubject } from "./names.ts";

/** Who is there: one key of the meta bucket a worker, gone by itself when the worker falls silent. */
export interface Presence {
  /** Says that the worker is there, for the next `ttlMs`. Throws as `Publisher.publish`. */
  announce(worker: Worker, ttlMs: number): Promise<void>;
  /** Says that the worker has left. */
  withdraw(name: string): Promise<void>;
}

/** Presence over a connection. */
export function createPresence({ manager, publisher }: Nats): Presence {
  const keyOf = (name: string) => metaSubject(`worker.${name}`);
  return {
    async announce(worker, ttlMs) {
      const fields = headers();
      fields.set("Nats-TTL", `${Math.max(1, Math.ceil(ttlMs / 1_000))}s`);
      await publisher.publish({
        subject: keyOf(worker.name),
        data: toBinary(WorkerSchema, worker),
        headers: fields,
      });
    },
    async withdraw(name) {
      await manager.streams.purge(metaStream, { filter: keyOf(name) });
    },
  };
}

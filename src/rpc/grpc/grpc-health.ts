import { type Server, type ServerWritableStream, status, type UntypedHandleCall } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";

import { services } from "../methods.ts";

/** The grpc.health.v1 service. */
export interface GrpcHealth {
  /** Says whether calls should be sent here: of the server as a whole and of each service. */
  setServing(serving: boolean): void;
  /** Says NOT_SERVING for good, and ends the streams that watch it, which nothing else would. */
  drain(): void;
}

/** Adds the health service to a server. It serves from the start only if it is said to. */
export function addHealth(server: Server, serving: boolean): GrpcHealth {
  const names = ["", ...services.map(({ typeName }) => typeName)];
  const statusOf = (isServing: boolean) => (isServing ? "SERVING" : "NOT_SERVING");
  const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, statusOf(serving)])));
  const watchers = new Set<ServerWritableStream<unknown, unknown>>();
  let draining = false;

  health.addToServer({
    addService(definition: Parameters<Server["addService"]>[0], handlers: Record<string, UntypedHandleCall>) {
      const watch = handlers["watch"] as (call: ServerWritableStream<unknown, unknown>) => void;
      server.addService(definition, {
        ...handlers,
        watch(call: ServerWritableStream<unknown, unknown>) {
          if (draining || watchers.size >= maxWatchers) {
            call.emit("error", { code: status.RESOURCE_EXHAUSTED, details: "too many watchers" });
            return;
          }
          watchers.add(call);
          call.once("cancelled", () => watchers.delete(call));
          watch(call);
        },
      });
    },
  });

  const setServing = (isServing: boolean): void => {
    for (const name of names) health.setStatus(name, statusOf(isServing));
  };
  return {
    setServing(isServing) {
      if (!draining) setServing(isServing);
    },
    drain() {
      draining = true;
      setServing(false);
      for (const watcher of watchers) watcher.end();
    },
  };
}

/** Anybody may ask, so it must not be for free. */
const maxWatchers = 1_000;

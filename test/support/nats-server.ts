import { afterAll, afterEach, beforeAll } from "vitest";

import { type NatsServer, type NatsServerOptions, startNatsServer } from "../../src/dev/nats-server.ts";

export { type NatsServer, type NatsServerOptions, startNatsServer };

/**
 * One real nats-server for the tests of a file (or of the `describe` in which it is called), on a port of its own and with
 * an empty store. Its log is printed when a test fails.
 *
 * Tests that need one to themselves write `await using server = await startNatsServer()`.
 */
export function useNatsServer(options: NatsServerOptions = {}): Omit<NatsServer, keyof AsyncDisposable> {
  let server: NatsServer | undefined;
  const running = (): NatsServer => {
    if (server === undefined) throw new Error("the nats-server of this file runs from beforeAll to afterAll");
    return server;
  };

  beforeAll(async () => {
    server = await startNatsServer(options);
  }, 150_000);
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") console.error(`nats-server's log:\n${await running().log()}`);
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  return {
    get url() {
      return running().url;
    },
    get port() {
      return running().port;
    },
    get monitoringUrl() {
      return running().monitoringUrl;
    },
    get pid() {
      return running().pid;
    },
    get storeDir() {
      return running().storeDir;
    },
    get ended() {
      return running().ended;
    },
    kill: (signal) => running().kill(signal),
    restart: () => running().restart(),
    log: () => running().log(),
  };
}

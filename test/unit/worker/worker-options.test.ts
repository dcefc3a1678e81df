import { expect, test } from "vitest";

import { createWorker } from "../../../src/worker/index.ts";
import { completeWorkerOptions } from "../../../src/worker/worker-options.ts";

const least = { nats: "nats://127.0.0.1:4222", queue: "q", handlers: { t: () => {} } };

test("what is left out has a default", () => {
  expect(completeWorkerOptions(least)).toMatchObject({
    nats: { url: "nats://127.0.0.1:4222", name: expect.stringMatching(/^[A-Za-z0-9_-]{1,64}$/) as string },
    slots: 10,
    drainTimeoutMs: 20_000,
    settleTimeoutMs: 5_000,
    progressIntervalMs: 200,
    version: "",
  });
});

test("no two workers get the same name", () => {
  expect(completeWorkerOptions(least).name).not.toBe(completeWorkerOptions(least).name);
});

test("everything that is wrong is said at once", () => {
  const options = {
    nats: "nats://127.0.0.1:4222",
    queue: "a.b",
    name: "",
    handlers: { t: "no function" as never },
    slots: 0,
    drainTimeoutMs: -1,
    settleTimeoutMs: 0.5,
    progressIntervalMs: 1,
  };
  expect(() => createWorker(options)).toThrow(
    new RangeError(
      "worker options: " +
        [
          'queue must be 1 to 64 letters, digits, "_" and "-", got "a.b"',
          'name must be 1 to 64 letters, digits, "_" and "-", got ""',
          "handlers.t must be a function, got string",
          "slots must be a whole number from 1 to 10000, got 0",
          "drainTimeoutMs must be a whole number from 0 to 86400000, got -1",
          "settleTimeoutMs must be a whole number from 0 to 86400000, got 0.5",
          "progressIntervalMs must be a whole number from 10 to 86400000, got 1",
        ].join("; "),
    ),
  );
  expect(() => createWorker({ ...least, handlers: {} })).toThrow("handlers must hold at least one");
});

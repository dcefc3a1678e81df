import type { TaskStatus } from "../../../src/client/index.ts";

/** The time at which everything happens in these tests. */
export const now = new Date("2026-05-04T10:00:00Z");

/** So many seconds before then. */
export function secondsAgo(seconds: number): Date {
  return new Date(now.getTime() - seconds * 1_000);
}

/** A task that waits, with what is to be different about it. */
export function aStatus(changes: Partial<TaskStatus> = {}): TaskStatus {
  return {
    taskId: "demo_01h2xcejqtf2nbrexx3vqjhp41",
    queue: "demo",
    type: "checksum",
    state: "QUEUED",
    priority: "NORMAL",
    attempt: 0,
    maxAttempts: 3,
    progress: undefined,
    result: undefined,
    resultContentType: undefined,
    error: undefined,
    wait: undefined,
    cancellation: undefined,
    attempts: [],
    createdAt: secondsAgo(90),
    scheduledAt: undefined,
    startedAt: undefined,
    updatedAt: undefined,
    endedAt: undefined,
    expiresAt: undefined,
    leaseExpiresAt: undefined,
    deadline: undefined,
    timeLedger: undefined,
    labels: {},
    retryOf: undefined,
    worker: undefined,
    traceparent: undefined,
    revision: 0,
    ...changes,
  };
}

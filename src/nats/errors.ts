import { JetStreamApiError, JetStreamError } from "@nats-io/jetstream";
import { errors } from "@nats-io/transport-node";

import { TaskError } from "../task/errors.ts";
import type { Task } from "../task/task.ts";

/** Somebody else wrote first: the record or message is not at the revision that the write was to replace. */
export class WriteConflict extends Error {
  override readonly name = "WriteConflict";
  /** The record as it is now, where it was read back. */
  readonly current: Task | undefined;

  constructor(message: string, current?: Task) {
    super(message);
    this.current = current;
  }
}

/** The write was sent and no answer came. It may have landed, and may still land. */
export class OutcomeUnknown extends Error {
  override readonly name = "OutcomeUnknown";
}

/** Error codes of the JetStream API that decide something here. */
export const apiCodes = {
  insufficientResources: 10_023,
  storageExceeded: 10_047,
  consumerNotFound: 10_014,
  messageNotFound: 10_037,
  streamNotFound: 10_059,
  wrongLastSequence: 10_071,
  /** What a cluster answers when another write to the same subject is still on its way. */
  wrongLastSequenceInProcess: 10_164,
} as const;

/** The error that a refused write stands for. */
export function writeErrorFromCode(code: number, description: string): Error {
  switch (code) {
    case apiCodes.wrongLastSequence:
    case apiCodes.wrongLastSequenceInProcess:
      return new WriteConflict(description);
    case apiCodes.insufficientResources:
    case apiCodes.storageExceeded:
      return new TaskError("STORE_FULL", "the store is full", { cause: new Error(`${code}: ${description}`) });
    default:
      return storeUnavailable(new Error(`${code}: ${description}`));
  }
}

/** NATS cannot be used now. Nothing was changed. */
export function storeUnavailable(cause: unknown): TaskError {
  return new TaskError("STORE_UNAVAILABLE", "the store cannot be reached", { cause, retryDelayMs: 1_000 });
}

/** Whether the same request may well succeed a little later: no leader, no connection, no answer. */
export function isTransient(error: unknown): boolean {
  if (error instanceof TaskError) return error.reason === "STORE_UNAVAILABLE";
  return (
    error instanceof errors.TimeoutError ||
    error instanceof errors.NoRespondersError ||
    error instanceof errors.RequestError ||
    error instanceof errors.ConnectionError ||
    error instanceof errors.ClosedConnectionError ||
    error instanceof errors.DrainingConnectionError ||
    // What the client library makes of "no responders", which is what a stream without a leader answers.
    (error instanceof Error && error.name === "JetStreamNotEnabled") ||
    error instanceof JetStreamError ||
    (error instanceof JetStreamApiError && (error.status === 503 || error.code === apiCodes.streamNotFound))
  );
}

/** Whether a JetStream request was answered with this code. */
export function hasApiCode(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}

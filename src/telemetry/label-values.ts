/* The values that labels may take. */

/** How many queues are told apart in one process. */
export const boundedQueueLimit = 50;
/** How many combinations of queue and type are told apart in one process, and with that, how many types. */
export const boundedPairLimit = 50;
/** What a bounded label says once its limit is reached. */
export const overflowLabel = "other";

/** What became of a submitted task. */
export const submitResults = ["accepted", "duplicate", "rejected"] as const;
/** How a task ended. */
export const taskOutcomes = ["succeeded", "failed", "cancelled", "expired"] as const;
/** How an attempt ended. */
export const attemptOutcomes = ["succeeded", "failed", "cancelled", "lost", "expired"] as const;
/** Why a task is run again. A code of a handler's own counts as `handler_error`. */
export const retryReasons = [
  "handler_error",
  "timeout",
  "lease_lost",
  "drained",
  "invalid_result",
  "result_too_large",
] as const;
/** The priorities of waiting tasks. */
export const priorities = ["high", "normal", "low"] as const;
/** The protocols of the API. */
export const protocols = ["grpc", "grpc_web", "connect"] as const;
/** The kinds of methods. */
export const rpcTypes = ["unary", "client_stream", "server_stream", "bidi_stream"] as const;
/** The names of the gRPC status codes, by number. */
export const grpcCodes = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;
/** The kinds of messages of a watch. */
export const watchMessageKinds = ["snapshot", "status", "bookmark", "removed", "going_away"] as const;
/** Why a watch ended. */
export const watchEndReasons = [
  "completed",
  "going_away",
  "client_gone",
  "slow_reader",
  "credential_expired",
  "store_replaced",
  "window_passed",
  "error",
] as const;
/** What became of a write: stored, lost a compare-and-set, refused, or not known. */
export const writeResults = ["ok", "conflict", "error", "unknown"] as const;
/** Who writes records. */
export const recordWriters = ["api", "claim", "attempt", "takeover", "sweeper"] as const;
/** What is read when Prometheus asks. */
export const collectorNames = ["queues", "workers", "view", "nats"] as const;

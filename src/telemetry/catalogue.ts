import {
  attemptOutcomes,
  collectorNames,
  grpcCodes,
  priorities,
  protocols,
  recordWriters,
  retryReasons,
  rpcTypes,
  submitResults,
  taskOutcomes,
  watchEndReasons,
  watchMessageKinds,
  writeResults,
} from "./label-values.ts";

/*
 * Every metric there is: name, meaning, labels and buckets. Dashboards and docs/metrics.md are checked against this file.
 *
 * Who counts what, so that nothing is counted twice however many processes run:
 * - An attempt, its outcome and its durations are counted by the process whose compare-and-set recorded them. For
 *   attempts that is a worker; a task that is cancelled or expires while it waits is counted by the API process that
 *   wrote it. Sums over all processes are true.
 * - Queue gauges are read from NATS by every API process, so all of them report the same numbers: take `max`, never `sum`.
 * - Everything else speaks of the process it comes from.
 *
 * No label can take a value chosen freely from outside. `bounded` labels pass a limiter that turns what is too much into
 * `other`; all others take theirs from label-values.ts.
 */

/** Which processes emit a metric. */
export type Role = "api" | "worker";

/** The values a label may take: a closed list, or `bounded` for names of queues, types and methods. */
export type LabelRule = "bounded" | readonly string[];

/** One metric. */
export interface MetricDefinition {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  /** One sentence without a full stop. */
  readonly help: string;
  readonly roles: readonly Role[];
  readonly labels: Readonly<Record<string, LabelRule>>;
  /** The upper bounds of a histogram, ascending, in the unit of its name. */
  readonly buckets?: readonly number[];
}

const taskBuckets = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600, 3600, 21600];
const rpcBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const storeBuckets = [0.0005, ...rpcBuckets];

const api = ["api"] as const;
const worker = ["worker"] as const;
const both = ["api", "worker"] as const;
const ofTask = { queue: "bounded", type: "bounded" } as const;
const ofQueue = { queue: "bounded" } as const;
const ofMethod = {
  grpc_type: rpcTypes,
  grpc_service: "bounded",
  grpc_method: "bounded",
  protocol: protocols,
} as const;

type Shape = Pick<MetricDefinition, "roles" | "labels">;

function counter<const S extends Shape>(name: string, help: string, shape: S) {
  return { kind: "counter", name, help, ...shape } as const;
}

function gauge<const S extends Shape>(name: string, help: string, shape: S) {
  return { kind: "gauge", name, help, ...shape } as const;
}

function histogram<const S extends Shape & { readonly buckets: readonly number[] }>(
  name: string,
  help: string,
  shape: S,
) {
  return { kind: "histogram", name, help, ...shape } as const;
}

/** The catalogue, by the name that the code uses. */
export const catalogue = {
  tasksSubmitted: counter("taskwatch_tasks_submitted_total", "Tasks that were submitted, by what became of them", {
    roles: api,
    labels: { ...ofTask, result: submitResults },
  }),
  tasksCompleted: counter("taskwatch_tasks_completed_total", "Tasks that reached a terminal state, by which", {
    roles: both,
    labels: { ...ofTask, outcome: taskOutcomes },
  }),
  taskAttempts: counter("taskwatch_task_attempts_total", "Attempts that ended, by how", {
    roles: both,
    labels: { ...ofTask, outcome: attemptOutcomes },
  }),
  taskRetries: counter("taskwatch_task_retries_total", "Failed attempts after which the task is run again, by why", {
    roles: worker,
    labels: { ...ofTask, reason: retryReasons },
  }),
  tasksDeadLettered: counter(
    "taskwatch_tasks_dead_lettered_total",
    "Failed tasks that were put aside to be run again",
    {
      roles: both,
      labels: ofTask,
    },
  ),
  taskQueueWait: histogram("taskwatch_task_queue_wait_seconds", "Time from being runnable to being claimed", {
    roles: worker,
    labels: ofTask,
    buckets: taskBuckets,
  }),
  taskRun: histogram("taskwatch_task_run_seconds", "Time from the claim of an attempt to its end", {
    roles: worker,
    labels: { ...ofTask, outcome: attemptOutcomes },
    buckets: taskBuckets,
  }),
  taskTotal: histogram("taskwatch_task_total_seconds", "Time from the acceptance of a task to its terminal state", {
    roles: both,
    labels: ofTask,
    buckets: taskBuckets,
  }),

  queueWaiting: gauge("taskwatch_queue_waiting", "Tasks that wait for a worker", {
    roles: api,
    labels: { ...ofQueue, priority: priorities },
  }),
  queueRunning: gauge("taskwatch_queue_running", "Tasks that are with workers", {
    roles: api,
    labels: { ...ofQueue, priority: priorities },
  }),
  queueDelayed: gauge("taskwatch_queue_delayed", "Tasks that wait for a time: scheduled ones and retries", {
    roles: api,
    labels: ofQueue,
  }),
  queueDead: gauge("taskwatch_queue_dead", "Failed tasks that can be run again", { roles: api, labels: ofQueue }),
  queueOldestWaiting: gauge(
    "taskwatch_queue_oldest_waiting_age_seconds",
    "Age of the task that waits longest; 0 if none",
    {
      roles: api,
      labels: ofQueue,
    },
  ),

  workerSlots: gauge("taskwatch_worker_slots", "Tasks that this worker runs at once", {
    roles: worker,
    labels: ofQueue,
  }),
  workerSlotsBusy: gauge("taskwatch_worker_slots_busy", "Tasks that this worker runs now", {
    roles: worker,
    labels: ofQueue,
  }),
  workerHeartbeat: gauge(
    "taskwatch_worker_last_heartbeat_timestamp_seconds",
    "When this worker last stored a sign of life, in seconds since 1970",
    { roles: worker, labels: ofQueue },
  ),
  leasesLost: counter("taskwatch_worker_leases_lost_total", "Attempts whose lease this worker lost", {
    roles: worker,
    labels: ofQueue,
  }),
  fencedWrites: counter(
    "taskwatch_worker_fenced_writes_total",
    "Writes of this worker that were refused because the task was no longer its own",
    { roles: worker, labels: ofQueue },
  ),

  rpcStarted: counter("grpc_server_started_total", "Calls that started", { roles: api, labels: ofMethod }),
  rpcHandled: counter("grpc_server_handled_total", "Calls that ended, by status code", {
    roles: api,
    labels: { ...ofMethod, grpc_code: grpcCodes },
  }),
  rpcHandling: histogram("grpc_server_handling_seconds", "Time from the start of a call to its end", {
    roles: api,
    labels: ofMethod,
    buckets: rpcBuckets,
  }),
  rpcMessagesSent: counter("grpc_server_msg_sent_total", "Messages sent to clients", { roles: api, labels: ofMethod }),
  rpcMessagesReceived: counter("grpc_server_msg_received_total", "Messages received from clients", {
    roles: api,
    labels: ofMethod,
  }),

  watchStreams: gauge("taskwatch_watch_streams", "Watches that are open", { roles: api, labels: {} }),
  watchMessages: counter("taskwatch_watch_messages_sent_total", "Messages sent to watchers, by kind", {
    roles: api,
    labels: { kind: watchMessageKinds },
  }),
  watchMerged: counter("taskwatch_watch_statuses_merged_total", "Intermediate statuses that watchers were spared", {
    roles: api,
    labels: {},
  }),
  watchEnds: counter("taskwatch_watch_ends_total", "Watches that ended, by why", {
    roles: api,
    labels: { reason: watchEndReasons },
  }),
  watchLag: histogram(
    "taskwatch_watch_lag_seconds",
    "Time from the write of a status to its being handed to a watcher",
    {
      roles: api,
      labels: {},
      buckets: storeBuckets,
    },
  ),

  viewRevision: gauge("taskwatch_view_applied_revision", "Revision of the store up to which the view is complete", {
    roles: api,
    labels: {},
  }),
  viewProofAge: gauge("taskwatch_view_proof_age_seconds", "Time since the view was last proven to be in sync", {
    roles: api,
    labels: {},
  }),
  viewRows: gauge("taskwatch_view_rows", "Tasks in the index of the view", { roles: api, labels: {} }),
  viewIndexSize: gauge("taskwatch_view_index_size_bytes", "Size of the index of the view", { roles: api, labels: {} }),
  viewChanges: counter("taskwatch_view_changes_applied_total", "Changes that the view applied", {
    roles: api,
    labels: {},
  }),
  viewRestarts: counter("taskwatch_view_follower_restarts_total", "How often the view had to start following again", {
    roles: api,
    labels: {},
  }),

  natsConnected: gauge("taskwatch_nats_connected", "1 while the connection to NATS stands, else 0", {
    roles: both,
    labels: {},
  }),
  natsReconnects: counter("taskwatch_nats_reconnects_total", "How often the connection to NATS was made again", {
    roles: both,
    labels: {},
  }),
  natsWrites: counter("taskwatch_nats_writes_total", "Writes to JetStream, by what became of them", {
    roles: both,
    labels: { result: writeResults },
  }),
  natsWritesInFlight: gauge("taskwatch_nats_writes_in_flight", "Writes to JetStream that wait for their answer", {
    roles: both,
    labels: {},
  }),
  natsWrite: histogram("taskwatch_nats_write_seconds", "Time from a write to JetStream to its answer", {
    roles: both,
    labels: {},
    buckets: storeBuckets,
  }),
  recordConflicts: counter(
    "taskwatch_record_conflicts_total",
    "Record writes that lost their compare-and-set, by writer",
    {
      roles: both,
      labels: { writer: recordWriters },
    },
  ),

  collectorFailures: counter("taskwatch_collector_failures_total", "Figures that could not be read for a scrape", {
    roles: both,
    labels: { collector: collectorNames },
  }),
} as const satisfies Record<string, MetricDefinition>;

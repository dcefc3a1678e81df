import type { DashboardSpec, Section } from "./layout.ts";
import { nats, processes, view, workerHealth } from "./overview-details.ts";
import {
  ofProcess,
  ofQueue,
  percentiles,
  quantile,
  queueGauge,
  queueGaugeOfPriorities,
  ratePerSecond,
  ratio,
} from "./queries.ts";

const completed = "taskwatch_tasks_completed_total";
const handled = "grpc_server_handled_total";
const failed = 'outcome="failed"';
const faultOfService = 'grpc_code=~"Unknown|Internal|Unavailable|DataLoss"';

const glance: Section = {
  title: "At a glance",
  collapsed: false,
  panels: [
    {
      title: "Tasks completed",
      description: "Tasks that reached a terminal state, whichever, per second.",
      kind: "number",
      unit: "cps",
      queries: [{ expr: ratePerSecond(completed, ofQueue), legend: "completed" }],
    },
    {
      title: "Failure ratio",
      description: "The part of completed tasks that failed for good. Cancelled and expired ones did not fail.",
      kind: "number",
      unit: "percentunit",
      thresholds: { warn: 0.01, bad: 0.05 },
      queries: [{ expr: ratio(completed, ofQueue, failed), legend: "failed" }],
    },
    {
      title: "Tasks waiting",
      description: "Tasks that could run and have no worker yet. Judge it together with the age of the oldest.",
      kind: "number",
      unit: "short",
      queries: [{ expr: queueGaugeOfPriorities("taskwatch_queue_waiting"), legend: "waiting" }],
    },
    {
      title: "Oldest waiting",
      description: "How long the task that waits longest has been waiting. Growing means that workers do not keep up.",
      kind: "number",
      unit: "s",
      thresholds: { warn: 60, bad: 300 },
      queries: [{ expr: `max(taskwatch_queue_oldest_waiting_age_seconds{${ofQueue}})`, legend: "oldest" }],
    },
    {
      title: "Slots busy",
      description: "The part of all worker slots that runs a task. Near 100 % while tasks wait: add workers.",
      kind: "number",
      unit: "percentunit",
      max: 1,
      queries: [
        {
          expr: `sum(taskwatch_worker_slots_busy{${ofQueue}}) / clamp_min(sum(taskwatch_worker_slots{${ofQueue}}), 1)`,
          legend: "busy",
        },
      ],
    },
    {
      title: "Processes down",
      description: "Processes that Prometheus cannot reach. One that it was never told of is not counted.",
      kind: "number",
      unit: "short",
      thresholds: { warn: 1, bad: 2 },
      queries: [{ expr: `count(up{${ofProcess}} == 0) or vector(0)`, legend: "down" }],
    },
  ],
};

const tasks: Section = {
  title: "Tasks",
  collapsed: false,
  panels: [
    {
      title: "Submitted",
      description: "Submitted tasks by what became of them. Duplicates are repeats of a request id: harmless.",
      unit: "cps",
      stacked: true,
      queries: [{ expr: ratePerSecond("taskwatch_tasks_submitted_total", ofQueue, ["result"]), legend: "{{result}}" }],
    },
    {
      title: "Completed",
      description: "Tasks that reached a terminal state, by which.",
      unit: "cps",
      stacked: true,
      queries: [{ expr: ratePerSecond(completed, ofQueue, ["outcome"]), legend: "{{outcome}}" }],
    },
    {
      title: "Failure ratio by queue",
      description: "The part of each queue's completed tasks that failed for good.",
      unit: "percentunit",
      queries: [{ expr: ratio(completed, ofQueue, failed, ["queue"]), legend: "{{queue}}" }],
    },
    {
      title: "Wait for a worker",
      description:
        "Time from being runnable to being claimed. High with free slots: look at NATS; without: add workers.",
      unit: "s",
      queries: percentiles("taskwatch_task_queue_wait_seconds", ofQueue),
    },
    {
      title: "Run time of attempts",
      description: "Time from the claim of an attempt to its end, however it ended.",
      unit: "s",
      queries: percentiles("taskwatch_task_run_seconds", ofQueue),
    },
    {
      title: "Submit to end",
      description: "Time from the acceptance of a task to its terminal state: waits, runs and backoffs together.",
      unit: "s",
      queries: percentiles("taskwatch_task_total_seconds", ofQueue),
    },
  ],
};

const queuesAndWorkers: Section = {
  title: "Queues and workers",
  collapsed: false,
  panels: [
    {
      title: "Waiting by queue",
      description: "Tasks that could run and have no worker yet.",
      unit: "short",
      stacked: true,
      queries: [{ expr: queueGaugeOfPriorities("taskwatch_queue_waiting", ["queue"]), legend: "{{queue}}" }],
    },
    {
      title: "Oldest waiting by queue",
      description: "How long the task that waits longest has been waiting. The best single sign of a queue in trouble.",
      unit: "s",
      queries: [
        { expr: `max by (queue) (taskwatch_queue_oldest_waiting_age_seconds{${ofQueue}})`, legend: "{{queue}}" },
      ],
    },
    {
      title: "Running, delayed and dead",
      description:
        "Tasks with workers, tasks that wait for a time or a backoff, and failed tasks kept for another run.",
      unit: "short",
      queries: [
        { expr: queueGaugeOfPriorities("taskwatch_queue_running"), legend: "running" },
        { expr: queueGauge("taskwatch_queue_delayed"), legend: "delayed" },
        { expr: queueGauge("taskwatch_queue_dead"), legend: "dead" },
      ],
    },
    {
      title: "Worker slots",
      description: "How many tasks the workers can run at once, and how many they do.",
      unit: "short",
      queries: [
        { expr: `sum(taskwatch_worker_slots{${ofQueue}})`, legend: "slots" },
        { expr: `sum(taskwatch_worker_slots_busy{${ofQueue}})`, legend: "busy" },
      ],
    },
    {
      title: "Attempts by outcome",
      description: "Attempts that ended. Lost ones had a worker that died or stalled for longer than its lease.",
      unit: "cps",
      stacked: true,
      queries: [{ expr: ratePerSecond("taskwatch_task_attempts_total", ofQueue, ["outcome"]), legend: "{{outcome}}" }],
    },
    {
      title: "Retries by reason",
      description: "Failed attempts after which the task is run again.",
      unit: "cps",
      stacked: true,
      queries: [{ expr: ratePerSecond("taskwatch_task_retries_total", ofQueue, ["reason"]), legend: "{{reason}}" }],
    },
  ],
};

const watchersAndCalls: Section = {
  title: "Watchers and calls",
  collapsed: false,
  panels: [
    {
      title: "Open watches",
      description: "Streams that are open, by API process.",
      unit: "short",
      stacked: true,
      queries: [{ expr: `sum by (instance) (taskwatch_watch_streams{${ofProcess}})`, legend: "{{instance}}" }],
    },
    {
      title: "Messages to watchers",
      description:
        "Messages sent on watches, by kind, and intermediate statuses that slow or frugal watchers were spared.",
      unit: "mps",
      queries: [
        { expr: ratePerSecond("taskwatch_watch_messages_sent_total", ofProcess, ["kind"]), legend: "{{kind}}" },
        { expr: ratePerSecond("taskwatch_watch_statuses_merged_total", ofProcess), legend: "merged" },
      ],
    },
    {
      title: "Watch lag",
      description: "Time from the write of a status to its being handed to a watcher.",
      unit: "s",
      queries: percentiles("taskwatch_watch_lag_seconds", ofProcess),
    },
    {
      title: "Calls by method",
      description: "Calls that ended, by method, over all protocols.",
      unit: "reqps",
      width: 6,
      queries: [{ expr: ratePerSecond(handled, ofProcess, ["grpc_method"]), legend: "{{grpc_method}}" }],
    },
    {
      title: "Calls not answered OK",
      description: "Calls that ended with another code than OK, whoever is to blame.",
      unit: "reqps",
      width: 6,
      queries: [
        { expr: ratePerSecond(handled, `${ofProcess}, grpc_code!="OK"`, ["grpc_code"]), legend: "{{grpc_code}}" },
      ],
    },
    {
      title: "Calls failed by the service",
      description: "The part of each method's calls that failed through no fault of the caller's.",
      unit: "percentunit",
      width: 6,
      queries: [{ expr: ratio(handled, ofProcess, faultOfService, ["grpc_method"]), legend: "{{grpc_method}}" }],
    },
    {
      title: "Call latency (p99)",
      description: "The 99th percentile of unary calls, by method. WaitTask waits on purpose; streams are left out.",
      unit: "s",
      width: 6,
      queries: [
        {
          expr: quantile(0.99, "grpc_server_handling_seconds", `${ofProcess}, grpc_type="unary"`, ["grpc_method"]),
          legend: "{{grpc_method}}",
        },
      ],
    },
  ],
};

/** The dashboard to look at first. */
export const overview: DashboardSpec = {
  uid: "taskwatch-overview",
  title: "Taskwatch / Overview",
  description: "How deep, how old, how slow, who failed, who is missing.",
  sections: [glance, tasks, queuesAndWorkers, watchersAndCalls, workerHealth, view, nats, processes],
};

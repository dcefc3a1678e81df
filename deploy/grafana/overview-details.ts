import type { Section } from "./layout.ts";
import { ofProcess, ofQueue, percentiles, ratePerSecond } from "./queries.ts";

/** What may be wrong with workers. */
export const workerHealth: Section = {
  title: "Worker health",
  collapsed: true,
  panels: [
    {
      title: "Leases lost and writes fenced",
      description:
        "Leases that workers lost to a stall or a cut connection, and writes refused because another worker had taken over.",
      unit: "cps",
      queries: [
        { expr: ratePerSecond("taskwatch_worker_leases_lost_total", ofQueue), legend: "leases lost" },
        { expr: ratePerSecond("taskwatch_worker_fenced_writes_total", ofQueue), legend: "writes fenced" },
      ],
    },
    {
      title: "Time since the last sign of life",
      description: "How long ago each worker last stored that it is alive.",
      unit: "s",
      queries: [
        {
          expr: `time() - min by (instance, queue) (taskwatch_worker_last_heartbeat_timestamp_seconds{${ofQueue}})`,
          legend: "{{instance}} {{queue}}",
        },
      ],
    },
    {
      title: "Tasks put aside",
      description: "Failed tasks whose job was kept, so that they can be run again.",
      unit: "cps",
      queries: [
        { expr: ratePerSecond("taskwatch_tasks_dead_lettered_total", ofQueue, ["queue"]), legend: "{{queue}}" },
      ],
    },
  ],
};

/** How well API processes follow the store. */
export const view: Section = {
  title: "View",
  collapsed: true,
  panels: [
    {
      title: "Age of proof",
      description:
        "Time since each API process last proved to be in sync with the store. Growing means that it lost the store.",
      unit: "s",
      queries: [{ expr: `max by (instance) (taskwatch_view_proof_age_seconds{${ofProcess}})`, legend: "{{instance}}" }],
    },
    {
      title: "Revisions behind",
      description: "How far each API process is behind the one that is furthest.",
      unit: "short",
      queries: [
        {
          expr: `scalar(max(taskwatch_view_applied_revision{${ofProcess}})) - max by (instance) (taskwatch_view_applied_revision{${ofProcess}})`,
          legend: "{{instance}}",
        },
      ],
    },
    {
      title: "Changes applied",
      description: "Changes that each API process applied. All of them apply all changes.",
      unit: "cps",
      queries: [
        {
          expr: ratePerSecond("taskwatch_view_changes_applied_total", ofProcess, ["instance"]),
          legend: "{{instance}}",
        },
      ],
    },
    {
      title: "Tasks in the index",
      description: "Tasks that each API process can list.",
      unit: "short",
      queries: [{ expr: `max by (instance) (taskwatch_view_rows{${ofProcess}})`, legend: "{{instance}}" }],
    },
    {
      title: "Size of the index",
      description: "What the index of each API process takes. It is rebuilt at every start.",
      unit: "bytes",
      queries: [{ expr: `max by (instance) (taskwatch_view_index_size_bytes{${ofProcess}})`, legend: "{{instance}}" }],
    },
    {
      title: "Ends of watches and restarts of the follower",
      description: "Why watches ended, and how often API processes had to start following again.",
      unit: "cps",
      queries: [
        { expr: ratePerSecond("taskwatch_watch_ends_total", ofProcess, ["reason"]), legend: "{{reason}}" },
        { expr: ratePerSecond("taskwatch_view_follower_restarts_total", ofProcess), legend: "follower restarted" },
      ],
    },
  ],
};

/** How NATS answers. */
export const nats: Section = {
  title: "NATS",
  collapsed: true,
  panels: [
    {
      title: "Connected",
      description: "1 while a process is connected.",
      unit: "short",
      max: 1,
      queries: [{ expr: `min by (instance) (taskwatch_nats_connected{${ofProcess}})`, legend: "{{instance}}" }],
    },
    {
      title: "Reconnects",
      description: "Connections that had to be made again.",
      unit: "cps",
      queries: [
        { expr: ratePerSecond("taskwatch_nats_reconnects_total", ofProcess, ["instance"]), legend: "{{instance}}" },
      ],
    },
    {
      title: "Writes by result",
      description:
        "Acknowledged, lost to a compare-and-set, refused, and not known. The last are read back, not given up.",
      unit: "wps",
      stacked: true,
      queries: [{ expr: ratePerSecond("taskwatch_nats_writes_total", ofProcess, ["result"]), legend: "{{result}}" }],
    },
    {
      title: "Write latency",
      description: "Time from a write to its answer. Slow writes slow everything: look at the disk of NATS first.",
      unit: "s",
      queries: percentiles("taskwatch_nats_write_seconds", ofProcess),
    },
    {
      title: "Writes in flight",
      description: "Writes that wait for their answer, by process.",
      unit: "short",
      queries: [{ expr: `max by (instance) (taskwatch_nats_writes_in_flight{${ofProcess}})`, legend: "{{instance}}" }],
    },
    {
      title: "Record conflicts",
      description: "Record writes that lost their compare-and-set, by writer. A few are life; many mean contention.",
      unit: "cps",
      queries: [
        { expr: ratePerSecond("taskwatch_record_conflicts_total", ofProcess, ["writer"]), legend: "{{writer}}" },
      ],
    },
  ],
};

/** How the processes are doing. */
export const processes: Section = {
  title: "Processes",
  collapsed: true,
  panels: [
    {
      title: "CPU",
      description: "Cores that each process uses.",
      unit: "short",
      queries: [
        { expr: ratePerSecond("process_cpu_seconds_total", ofProcess, ["job", "instance"]), legend: "{{instance}}" },
      ],
    },
    {
      title: "Event loop utilisation",
      description: "The part of the time that the event loop is busy. Near 100 % everything waits: add processes.",
      unit: "percentunit",
      max: 1,
      queries: [
        {
          expr: ratePerSecond("nodejs_eventloop_active_seconds_total", ofProcess, ["instance"]),
          legend: "{{instance}}",
        },
      ],
    },
    {
      title: "Event loop lag (p99)",
      description: "How late the event loop comes to what is due, since the last scrape.",
      unit: "s",
      queries: [{ expr: `max by (instance) (nodejs_eventloop_lag_p99_seconds{${ofProcess}})`, legend: "{{instance}}" }],
    },
    {
      title: "Memory",
      description: "Memory that each process holds, and the part of it that is JavaScript's in use.",
      unit: "bytes",
      queries: [
        { expr: `max by (instance) (process_resident_memory_bytes{${ofProcess}})`, legend: "{{instance}} resident" },
        { expr: `max by (instance) (nodejs_heap_size_used_bytes{${ofProcess}})`, legend: "{{instance}} heap" },
      ],
    },
    {
      title: "Garbage collection",
      description: "The part of the time spent collecting garbage.",
      unit: "percentunit",
      queries: [
        { expr: ratePerSecond("nodejs_gc_duration_seconds_sum", ofProcess, ["instance"]), legend: "{{instance}}" },
      ],
    },
    {
      title: "Open files",
      description: "File descriptors in use, connections included.",
      unit: "short",
      queries: [{ expr: `max by (instance) (process_open_fds{${ofProcess}})`, legend: "{{instance}}" }],
    },
    {
      title: "Versions",
      description: "How many processes run which version.",
      unit: "short",
      stacked: true,
      queries: [
        {
          expr: `count by (job, version, commit) (taskwatch_build_info{${ofProcess}})`,
          legend: "{{job}} {{version}} {{commit}}",
        },
      ],
    },
    {
      title: "Figures not read",
      description: "Gauges missing from a scrape, because what they speak of did not answer in time.",
      unit: "cps",
      queries: [
        {
          expr: ratePerSecond("taskwatch_collector_failures_total", ofProcess, ["collector"]),
          legend: "{{collector}}",
        },
      ],
    },
  ],
};

import { performance } from "node:perf_hooks";

import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";

/** What is running. */
export interface Build {
  readonly version: string;
  /** The commit it was built from. */
  readonly commit: string;
}

/** The library's process metrics that are reported; the others are of little use, or break naming rules. */
export const defaultMetricNames = [
  "process_cpu_user_seconds_total",
  "process_cpu_system_seconds_total",
  "process_cpu_seconds_total",
  "process_start_time_seconds",
  "process_resident_memory_bytes",
  "process_open_fds",
  "process_max_fds",
  "nodejs_eventloop_lag_seconds",
  "nodejs_eventloop_lag_mean_seconds",
  "nodejs_eventloop_lag_p99_seconds",
  "nodejs_heap_size_total_bytes",
  "nodejs_heap_size_used_bytes",
  "nodejs_external_memory_bytes",
  "nodejs_gc_duration_seconds",
] as const;

/** The names of the metrics that `registerProcessMetrics` makes, apart from the library's. */
export const processMetricNames = ["taskwatch_build_info", "nodejs_eventloop_active_seconds_total"] as const;

/**
 * Reports what is running and how the process is doing. Once per process: it watches the event loop and the garbage
 * collector from then on.
 */
export function registerProcessMetrics(registry: Registry, { version, commit }: Build): void {
  const [buildInfo, eventLoopActive] = processMetricNames;
  new Gauge({
    name: buildInfo,
    help: "1, with what is running as labels",
    labelNames: ["version", "commit", "node_version"],
    registers: [registry],
  }).set({ version, commit, node_version: process.version }, 1);

  let reported = 0;
  const active = new Counter({
    name: eventLoopActive,
    // A counter, whose rate is the utilisation: a ready-made ratio would mean something else to each of two scrapers.
    help: "Time that the event loop was busy; its rate is the utilisation of the event loop",
    registers: [],
    collect() {
      const seconds = performance.eventLoopUtilization().active / 1000;
      this.inc(Math.max(0, seconds - reported));
      reported = seconds;
    },
  });
  registry.registerMetric(active);

  const all = new Registry();
  collectDefaultMetrics({ register: all });
  for (const name of defaultMetricNames) {
    const metric = all.getSingleMetric(name);
    // Open file descriptors, for one, are only known on Linux.
    if (metric !== undefined) registry.registerMetric(metric);
  }
}

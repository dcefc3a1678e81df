import { Registry } from "prom-client";

import { createBoundedLabel } from "./bounded-label.ts";
import { catalogue, type Role } from "./catalogue.ts";
import { type Collectors, createCollectors } from "./collectors.ts";
import { createInstruments, duration, type Instruments } from "./instruments.ts";
import { boundedQueueLimit, recordWriters, watchEndReasons, watchMessageKinds, writeResults } from "./label-values.ts";
import { type Build, registerProcessMetrics } from "./process-metrics.ts";
import { createRpcMetrics, type RpcMetrics } from "./rpc-metrics.ts";
import { createTaskMetrics, type TaskMetrics } from "./task-metrics.ts";

/** Counts what happens on watches. */
export interface WatchMetrics {
  watchOpened(): void;
  /** Each opened watch is closed once. */
  watchClosed(reason: (typeof watchEndReasons)[number]): void;
  /** Messages were handed to a watcher; 1 unless said otherwise. */
  watchMessagesSent(kind: (typeof watchMessageKinds)[number], count?: number): void;
  /** A watcher was spared this many intermediate statuses. */
  watchStatusesMerged(count: number): void;
  /** A status reached a watcher this long after it was written. For changes only: a snapshot may be as old as it likes. */
  watchLag(seconds: number): void;
}

/** Counts what the view does. */
export interface ViewMetrics {
  viewChangesApplied(count: number): void;
  /** The view lost its consumer, and follows again from where it was. */
  viewFollowerRestarted(): void;
}

/** Counts what goes to NATS. */
export interface NatsMetrics {
  natsReconnected(): void;
  /** A write was answered, or given up, `seconds` after it was sent. */
  natsWrite(event: { readonly result: (typeof writeResults)[number]; readonly seconds: number }): void;
  /** A record write lost its compare-and-set. */
  recordConflict(writer: (typeof recordWriters)[number]): void;
}

/** Everything that is counted. Each part of the service declares the slice it needs, and is handed this. */
export interface Metrics extends TaskMetrics, RpcMetrics, WatchMetrics, ViewMetrics, NatsMetrics, Collectors {
  /** The media type of what `scrape` returns. */
  readonly contentType: string;
  /** Reads what is read on demand and returns all metrics of the registry as text. Calls at one time share one answer. */
  scrape(): Promise<string>;
}

/** What `createMetrics` needs. */
export interface MetricsOptions {
  /** Where the metrics are reported. Not the library's global registry: two apps in one process would collide. */
  readonly registry: Registry;
  /** What this process does: decides which metrics it reports. */
  readonly roles: readonly Role[];
}

/** Makes all metrics of a process, those of the process itself included, on a registry of their own. Once per process. */
export function createProcessMetrics({ roles, ...build }: Build & { readonly roles: readonly Role[] }): Metrics {
  const registry = new Registry();
  registerProcessMetrics(registry, build);
  return createMetrics({ registry, roles });
}

/** Makes the metrics of the catalogue. Once per registry. */
export function createMetrics({ registry, roles }: MetricsOptions): Metrics {
  const instruments = createInstruments({ registry, roles });
  const queues = createBoundedLabel(boundedQueueLimit);
  const { runAll, ...collectors } = createCollectors(instruments, queues);
  let scraping: Promise<string> | undefined;
  return {
    ...createTaskMetrics(instruments, queues),
    ...createRpcMetrics(instruments),
    ...createWatchMetrics(instruments),
    ...createViewMetrics(instruments),
    ...createNatsMetrics(instruments),
    ...collectors,
    contentType: registry.contentType,
    scrape() {
      scraping ??= runAll()
        .then(() => registry.metrics())
        .finally(() => {
          scraping = undefined;
        });
      return scraping;
    },
  };
}

function createWatchMetrics(instruments: Instruments): WatchMetrics {
  const streams = instruments.gauge(catalogue.watchStreams);
  const messages = instruments.counter(catalogue.watchMessages);
  const merged = instruments.counter(catalogue.watchMerged);
  const ends = instruments.counter(catalogue.watchEnds);
  const lag = instruments.histogram(catalogue.watchLag);
  streams.set(0);
  for (const kind of watchMessageKinds) messages.inc({ kind }, 0);
  for (const reason of watchEndReasons) ends.inc({ reason }, 0);
  return {
    watchOpened: () => streams.inc(),
    watchClosed(reason) {
      streams.dec();
      ends.inc({ reason });
    },
    watchMessagesSent: (kind, count = 1) => messages.inc({ kind }, count),
    watchStatusesMerged: (count) => merged.inc(count),
    watchLag: (seconds) => lag.observe(duration(seconds)),
  };
}

function createViewMetrics(instruments: Instruments): ViewMetrics {
  const changes = instruments.counter(catalogue.viewChanges);
  const restarts = instruments.counter(catalogue.viewRestarts);
  return {
    viewChangesApplied: (count) => changes.inc(count),
    viewFollowerRestarted: () => restarts.inc(),
  };
}

function createNatsMetrics(instruments: Instruments): NatsMetrics {
  const reconnects = instruments.counter(catalogue.natsReconnects);
  const writes = instruments.counter(catalogue.natsWrites);
  const durations = instruments.histogram(catalogue.natsWrite);
  const conflicts = instruments.counter(catalogue.recordConflicts);
  for (const result of writeResults) writes.inc({ result }, 0);
  for (const writer of recordWriters) conflicts.inc({ writer }, 0);
  return {
    natsReconnected: () => reconnects.inc(),
    natsWrite({ result, seconds }) {
      writes.inc({ result });
      durations.observe(duration(seconds));
    },
    recordConflict: (writer) => conflicts.inc({ writer }),
  };
}

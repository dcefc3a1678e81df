import type { Gauge } from "prom-client";

import type { BoundedLabel } from "./bounded-label.ts";
import { catalogue } from "./catalogue.ts";
import type { Instruments } from "./instruments.ts";
import { collectorNames, priorities } from "./label-values.ts";

/** A number for each priority. */
export type ByPriority = Readonly<Record<(typeof priorities)[number], number>>;

/** How one queue is doing. */
export interface QueueFigures {
  readonly queue: string;
  readonly waiting: ByPriority;
  readonly running: ByPriority;
  readonly delayed: number;
  readonly dead: number;
  /** 0 if nothing waits. */
  readonly oldestWaitingAgeSeconds: number;
}

/** How one worker of this process is doing. */
export interface WorkerFigures {
  readonly queue: string;
  readonly slots: number;
  readonly busy: number;
  /** When it last stored a sign of life, in ms since 1970; undefined: not yet. */
  readonly heartbeatMs?: number;
}

/** How the view is doing. */
export interface ViewFigures {
  readonly appliedRevision: number;
  readonly proofAgeSeconds: number;
  readonly rows: number;
  readonly indexBytes: number;
}

/** How the connection is doing. */
export interface NatsFigures {
  readonly connected: boolean;
  readonly writesInFlight: number;
}

/** Reads figures when they are asked for. The signal is aborted when nobody waits for them any more. */
export type Read<Figures> = (signal: AbortSignal) => Figures | Promise<Figures>;

/** Ends what was begun. */
export type Undo = () => void;

/**
 * Figures that are read when Prometheus asks, rather than kept up to date. Each of these says where they come from, once
 * at a time, until the returned function is called. Figures that cannot be read, or not within 2 s, are left out of the
 * answer: a gap tells more than an old number.
 */
export interface Collectors {
  collectQueues(read: Read<readonly QueueFigures[]>): Undo;
  collectWorkers(read: Read<readonly WorkerFigures[]>): Undo;
  collectView(read: Read<ViewFigures>): Undo;
  collectNats(read: Read<NatsFigures>): Undo;
}

/** The collectors, and the way to run them all. */
export interface CollectorSet extends Collectors {
  /** Reads everything and sets the gauges. Never fails. */
  readonly runAll: () => Promise<void>;
}

/** How long figures may take to be read. */
export const collectTimeoutMs = 2_000;

/** Makes the gauges that are read when asked for. */
export function createCollectors(instruments: Instruments, queues: BoundedLabel): CollectorSet {
  const running = new Map<string, () => Promise<void>>();
  const failures = instruments.counter(catalogue.collectorFailures);
  for (const collector of collectorNames) failures.inc({ collector }, 0);
  const start =
    <Figures>(name: Name, sink: Sink<Figures>) =>
    (read: Read<Figures>): Undo => {
      if (running.has(name)) throw new Error(`${name}: somebody collects them already`);
      running.set(name, async () => {
        try {
          sink.set(await readInTime(read));
        } catch {
          // Why it failed is known to those whose figures they are; a scrape goes on without them.
          sink.clear();
          failures.inc({ collector: name });
        }
      });
      return () => {
        running.delete(name);
        sink.clear();
      };
    };
  return {
    collectQueues: start("queues", createQueueSink(instruments, queues)),
    collectWorkers: start("workers", createWorkerSink(instruments, queues)),
    collectView: start("view", createViewSink(instruments)),
    collectNats: start("nats", createNatsSink(instruments)),
    runAll: async () => {
      await Promise.all([...running.values()].map((run) => run()));
    },
  };
}

type Name = (typeof collectorNames)[number];

/** Where figures go. */
interface Sink<Figures> {
  set(figures: Figures): void;
  clear(): void;
}

async function readInTime<Figures>(read: Read<Figures>): Promise<Figures> {
  const controller = new AbortController();
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new Error(`figures were not read within ${collectTimeoutMs} ms`);
    controller.abort(error);
    reject(error);
  }, collectTimeoutMs);
  try {
    return await Promise.race([read(controller.signal), tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

function createQueueSink(instruments: Instruments, queues: BoundedLabel): Sink<readonly QueueFigures[]> {
  const waiting = instruments.gauge(catalogue.queueWaiting);
  const running = instruments.gauge(catalogue.queueRunning);
  const delayed = instruments.gauge(catalogue.queueDelayed);
  const dead = instruments.gauge(catalogue.queueDead);
  const oldest = instruments.gauge(catalogue.queueOldestWaiting);
  const clear = (): void => reset([waiting, running, delayed, dead, oldest]);
  return {
    clear,
    set(figures) {
      clear();
      for (const [queue, group] of byLabel(figures, queues)) {
        for (const one of group) {
          for (const priority of priorities) {
            waiting.inc({ queue, priority }, one.waiting[priority]);
            running.inc({ queue, priority }, one.running[priority]);
          }
          delayed.inc({ queue }, one.delayed);
          dead.inc({ queue }, one.dead);
        }
        oldest.set({ queue }, Math.max(...group.map((one) => one.oldestWaitingAgeSeconds)));
      }
    },
  };
}

function createWorkerSink(instruments: Instruments, queues: BoundedLabel): Sink<readonly WorkerFigures[]> {
  const slots = instruments.gauge(catalogue.workerSlots);
  const busy = instruments.gauge(catalogue.workerSlotsBusy);
  const heartbeat = instruments.gauge(catalogue.workerHeartbeat);
  const clear = (): void => reset([slots, busy, heartbeat]);
  return {
    clear,
    set(figures) {
      clear();
      for (const [queue, group] of byLabel(figures, queues)) {
        for (const one of group) {
          slots.inc({ queue }, one.slots);
          busy.inc({ queue }, one.busy);
        }
        const beats = group.flatMap((one) => one.heartbeatMs ?? []);
        if (beats.length > 0) heartbeat.set({ queue }, Math.min(...beats) / 1000);
      }
    },
  };
}

function createViewSink(instruments: Instruments): Sink<ViewFigures> {
  const revision = instruments.gauge(catalogue.viewRevision);
  const proofAge = instruments.gauge(catalogue.viewProofAge);
  const rows = instruments.gauge(catalogue.viewRows);
  const indexSize = instruments.gauge(catalogue.viewIndexSize);
  return {
    clear: () => [revision, proofAge, rows, indexSize].forEach((gauge) => gauge.remove()),
    set(figures) {
      revision.set(figures.appliedRevision);
      proofAge.set(figures.proofAgeSeconds);
      rows.set(figures.rows);
      indexSize.set(figures.indexBytes);
    },
  };
}

function createNatsSink(instruments: Instruments): Sink<NatsFigures> {
  const connected = instruments.gauge(catalogue.natsConnected);
  const inFlight = instruments.gauge(catalogue.natsWritesInFlight);
  return {
    clear: () => [connected, inFlight].forEach((gauge) => gauge.remove()),
    set(figures) {
      connected.set(figures.connected ? 1 : 0);
      inFlight.set(figures.writesInFlight);
    },
  };
}

/** The figures of each label value, to be added up: more than one queue shares `other` once there are too many. */
function byLabel<Figures extends { readonly queue: string }>(
  figures: readonly Figures[],
  queues: BoundedLabel,
): Map<string, Figures[]> {
  return Map.groupBy(figures, (one) => queues.admit(one.queue));
}

function reset(gauges: readonly Gauge[]): void {
  for (const gauge of gauges) gauge.reset();
}

import type { Watch, WatchEvent } from "../../src/operations/operations.ts";
import { taskIdOf } from "../../src/task/task.ts";
import { stateName } from "../../src/task/transitions.ts";

/** Reads a watch as fast as it gives, and keeps what it gave. */
export interface WatchReader extends Disposable {
  readonly events: readonly WatchEvent[];
  /** Each event in a word: the state, with what was merged; `bookmark`, `removed`, `going_away`. */
  readonly words: readonly string[];
  /** How the watch ended; undefined while it is open. */
  readonly end: Watch["end"];
  /** Resolves with the first event that is as wanted, of those that came and those that come. */
  until(what: string, wanted: (event: WatchEvent) => boolean): Promise<WatchEvent>;
  /** Resolves when the watch has ended. */
  untilEnd(): Promise<Watch["end"]>;
}

/** Starts to read. */
export function readWatch(watch: Watch): WatchReader {
  const events: WatchEvent[] = [];
  const waiting = new Set<() => void>();
  const pump = (): void => {
    for (let event = watch.take(); event !== undefined; event = watch.take()) events.push(event);
    for (const look of waiting) look();
  };
  const wait = async <Found>(what: string, probe: () => Found | undefined): Promise<Found> => {
    const { promise, resolve, reject } = Promise.withResolvers<Found>();
    const look = (): void => {
      const found = probe();
      if (found !== undefined) resolve(found);
    };
    const timer = setTimeout(
      () => reject(new Error(`waited 10 s for ${what}; came: ${events.map(wordOf).join(" ")}`)),
      10_000,
    );
    waiting.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      waiting.delete(look);
    }
  };
  watch.onReady = pump;
  pump();
  return {
    events,
    get words() {
      return events.map(wordOf);
    },
    get end() {
      return watch.end;
    },
    until: (what, wanted) => wait(what, () => events.find(wanted)),
    untilEnd: () => wait("the end of the watch", () => watch.end),
    [Symbol.dispose]: () => watch.close(),
  };
}

/** An event in a word. */
export function wordOf(event: WatchEvent): string {
  if (event.kind !== "status") return event.kind;
  return `${stateName(event.status.state)}${event.merged > 0 ? `+${event.merged}` : ""}`;
}

/** Whether an event is a status of this state, of this task if it is named. */
export function isState(state: string, taskId?: string): (event: WatchEvent) => boolean {
  return (event) =>
    event.kind === "status" &&
    stateName(event.status.state) === state &&
    (taskId === undefined || taskIdOf(event.status) === taskId);
}

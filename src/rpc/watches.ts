import type { Watch, WatchEvent } from "../operations/operations.ts";
import { type Reason, TaskError } from "../task/errors.ts";
import type { Principal, Principals } from "./access/principals.ts";
import { quotaName } from "./access/quotas.ts";
import type { RpcObserver, WatchEndReason, WatchMessageKind } from "./observer.ts";

/** What `createWatches` needs. */
export interface WatchesOptions {
  readonly principals: Principals;
  readonly observer: RpcObserver;
  /** How many watches one principal may have open; 1,000 if unset. */
  readonly maxPerPrincipal?: number | undefined;
  /** How many watches may be open in all; 10,000 if unset. */
  readonly maxOpen?: number | undefined;
  /** How often the credentials of open watches are looked at, in ms; 5,000 if unset. */
  readonly checkIntervalMs?: number | undefined;
}

/** The open watches of one process, over all its listeners. */
export interface Watches {
  /**
   * Opens a watch that counts against the limits until it is closed. Throws WATCH_LIMIT_REACHED; what `open` throws goes
   * through.
   */
  open(principal: Principal, open: () => Promise<Watch>): Promise<OpenWatch>;
  /** How many there are. */
  readonly size: number;
  /** Stops looking after credentials. Idempotent. */
  close(): void;
}

/** Makes the watches of one process. */
export function createWatches(options: WatchesOptions): Watches {
  const { principals, observer, maxPerPrincipal = 1_000, maxOpen = 10_000, checkIntervalMs = 5_000 } = options;
  const watches = new Set<OpenWatch>();
  const countByName = new Map<string, number>();
  let count = 0;

  const reserve = (principal: Principal): (() => void) => {
    const name = quotaName(principal);
    const ofPrincipal = countByName.get(name) ?? 0;
    if (ofPrincipal >= maxPerPrincipal) throw limitReached(`${maxPerPrincipal} watches of this principal are open`);
    if (count >= maxOpen) throw limitReached(`${maxOpen} watches are open`);
    count += 1;
    countByName.set(name, ofPrincipal + 1);
    return () => {
      count -= 1;
      const left = (countByName.get(name) ?? 1) - 1;
      if (left === 0) countByName.delete(name);
      else countByName.set(name, left);
    };
  };

  const timer = setInterval(() => {
    const nowMs = Date.now();
    for (const watch of watches) if (!principals.isCurrent(watch.principal, nowMs)) watch.revoke();
  }, checkIntervalMs);
  // Open watches keep the process alive by their connections.
  timer.unref();

  return {
    async open(principal, open) {
      const release = reserve(principal);
      try {
        const opened = new OpenWatch(principal, await open(), observer, () => {
          watches.delete(opened);
          release();
        });
        watches.add(opened);
        return opened;
      } catch (error) {
        release();
        throw error;
      }
    },
    get size() {
      return watches.size;
    },
    close: () => clearInterval(timer),
  };
}

/** A watch that is open: counted, limited, and ended when its credential is. */
export class OpenWatch {
  readonly principal: Principal;
  readonly #watch: Watch;
  readonly #observer: RpcObserver;
  readonly #release: () => void;
  #revoked: TaskError | undefined;
  #goingAway = false;
  #closed = false;

  constructor(principal: Principal, watch: Watch, observer: RpcObserver, release: () => void) {
    this.principal = principal;
    this.#watch = watch;
    this.#observer = observer;
    this.#release = release;
    observer.watchOpened();
  }

  /** Called whenever `take` or `end` may have something new after they had nothing. */
  set onReady(onReady: () => void) {
    this.#watch.onReady = onReady;
  }

  /** The next event, if one is due. What is taken counts as sent. */
  take(): WatchEvent | undefined {
    if (this.#revoked !== undefined || this.#closed) return undefined;
    const event = this.#watch.take();
    if (event === undefined) return undefined;
    this.#observer.watchMessagesSent(kindOf(event));
    if (event.kind === "status" && event.merged > 0) this.#observer.watchStatusesMerged(event.merged);
    if (event.kind === "going_away") this.#goingAway = true;
    return event;
  }

  /** How it ended, once everything due was taken. */
  get end(): "ok" | TaskError | undefined {
    return this.#revoked ?? this.#watch.end;
  }

  /** Ends it because whoever opened it may not watch any more. */
  revoke(): void {
    this.#revoked ??= new TaskError("CREDENTIAL_INVALID", "credential is not valid any more");
    this.#watch.onReady?.();
  }

  /** Releases everything. `error` says why its call failed, if it is over before its end. Idempotent. */
  close(error?: TaskError): void {
    if (this.#closed) return;
    this.#closed = true;
    const reason = this.#reason(error ?? this.end);
    this.#watch.onReady = undefined;
    this.#watch.close();
    this.#release();
    this.#observer.watchClosed(reason);
  }

  #reason(end: "ok" | TaskError | undefined): WatchEndReason {
    if (end === "ok") return this.#goingAway ? "going_away" : "completed";
    return end === undefined ? "client_gone" : (endReasons[end.reason] ?? "error");
  }
}

const endReasons: Readonly<Partial<Record<Reason, WatchEndReason>>> = {
  CALL_CANCELLED: "client_gone",
  // Only the client's own: a watch has no other.
  DEADLINE_EXCEEDED: "client_gone",
  SLOW_READER: "slow_reader",
  CREDENTIAL_INVALID: "credential_expired",
  STORE_REPLACED: "store_replaced",
  WINDOW_PASSED: "window_passed",
};

function kindOf(event: WatchEvent): WatchMessageKind {
  return event.kind === "status" && event.snapshot ? "snapshot" : event.kind;
}

function limitReached(message: string): TaskError {
  return new TaskError("WATCH_LIMIT_REACHED", message, { retryDelayMs: limitRetryDelayMs });
}

const limitRetryDelayMs = 5_000;

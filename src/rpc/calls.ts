/**
 * What every call goes through, whatever the transport:
 *
 *   start      it is counted, and its time runs
 *   admit      draining? credential, role, quota; before anything of the request is read
 *   received   the request is here
 *   run        the operation, which the time bound, the client's deadline and its going away all abort
 *   end        it was answered: counted, and logged if it failed
 *   close      the last byte is gone, or the client is
 */
import type { Caller } from "../operations/operations.ts";
import { TaskError, toTaskError } from "../task/errors.ts";
import type { Principal, Principals } from "./access/principals.ts";
import type { Quotas } from "./access/quotas.ts";
import { codeOf } from "./answers/errors.ts";
import type { CallLog } from "./call-log.ts";
import type { Limits } from "./limits.ts";
import type { Method } from "./methods.ts";
import type { Protocol, RpcName, RpcObserver } from "./observer.ts";

/** What `createCalls` needs. All of it is shared between the listeners of a process. */
export interface CallsOptions {
  readonly principals: Principals;
  readonly quotas: Quotas;
  readonly observer: RpcObserver;
  readonly log: CallLog;
  readonly limits: Pick<Limits, "requestTimeoutMs">;
}

/** The calls of one listener. */
export interface Calls {
  /** Begins a call. Each is to be ended and closed. */
  start(method: Method, protocol: Protocol): Call;
  /** Refuses new calls from now on, and resolves when the last one is closed. */
  drain(): Promise<void>;
}

/** What came with a call. */
export interface Arrival {
  /** The `authorization` header. */
  readonly authorization: string | undefined;
  /** The `traceparent` header. */
  readonly traceparent: string | undefined;
  /** How long the client will wait from now on. */
  readonly timeoutMs: number | undefined;
}

/** Makes the calls of one listener. */
export function createCalls(options: CallsOptions): Calls {
  const open = new Set<Call>();
  const drained = Promise.withResolvers<undefined>();
  let draining = false;
  const house: House = {
    ...options,
    isDraining: () => draining,
    closed(call) {
      open.delete(call);
      if (draining && open.size === 0) drained.resolve(undefined);
    },
  };
  return {
    start(method, protocol) {
      const call = new Call(house, method, protocol);
      open.add(call);
      return call;
    },
    drain() {
      draining = true;
      if (open.size === 0) drained.resolve(undefined);
      return drained.promise;
    },
  };
}

/** What calls share. */
interface House extends CallsOptions {
  isDraining(): boolean;
  closed(call: Call): void;
}

/** One call. Made by `Calls.start`. */
export class Call {
  readonly method: Method;
  readonly name: RpcName;
  /**
   * Called when the time is over. "now": the call has just been aborted, and the transport sees to it that the client hears
   * of it. "gone": it was answered, or told, some time ago, and what is left of it is to go away.
   */
  onExpired: ((when: "now" | "gone", error: TaskError) => void) | undefined;
  readonly #house: House;
  readonly #startedMs = performance.now();
  readonly #aborter = new AbortController();
  /** When the request must have come, and when the call must be over: both as `performance.now()` has it. */
  readonly #requestDueMs: number;
  #dueMs: number;
  #clientDueMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #principal: Principal | undefined;
  #caller: Caller | undefined;
  #release: (() => void) | undefined;
  #reject: ((error: TaskError) => void) | undefined;
  #received = false;
  #expired = false;
  #ended = false;
  #closed = false;

  constructor(house: House, method: Method, protocol: Protocol) {
    this.#house = house;
    this.method = method;
    this.name = nameOf(method, protocol);
    this.#requestDueMs = this.#startedMs + house.limits.requestTimeoutMs;
    this.#dueMs = this.#startedMs + method.timeBoundMs;
    this.#arm(Math.min(this.#requestDueMs, this.#dueMs));
    house.observer.rpcStarted(this.name);
  }

  /** Aborted when the call fails, its time is over or the client has gone; its reason is a `TaskError`. */
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  /** Whether its request came, so that what goes wrong now goes wrong with the answer. */
  get handled(): boolean {
    return this.#received;
  }

  /** Whether it was answered. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Who calls. */
  get principal(): Principal {
    if (this.#principal === undefined) throw new Error("call is not admitted");
    return this.#principal;
  }

  /** Throws `TaskError` if the call may not go on. */
  admit({ authorization, traceparent, timeoutMs }: Arrival): void {
    const { principals, quotas } = this.#house;
    if (this.#house.isDraining())
      throw new TaskError("DRAINING", "server is stopping", { retryDelayMs: drainRetryDelayMs });
    const nowMs = Date.now();
    const principal = principals.authenticate(authorization, nowMs);
    assertRole(principal, this.method);
    quotas.charge(principal, nowMs);
    if (!this.method.streaming) this.#release = quotas.begin(principal);
    this.#principal = principal;
    this.#caller = { name: principal.name, namespace: principal.namespace, traceparent: validTraceparent(traceparent) };
    if (timeoutMs === undefined) return;
    this.#clientDueMs = performance.now() + timeoutMs;
    if (this.#clientDueMs >= this.#dueMs) return;
    this.#dueMs = this.#clientDueMs;
    if (this.#dueMs < this.#requestDueMs) this.#arm(this.#dueMs);
  }

  /** The whole request is here. */
  received(): void {
    this.#received = true;
    this.#house.observer.rpcMessagesReceived(this.name);
  }

  /** Charges a batch for what it carries beyond the first. */
  chargeMore(calls: number): void {
    this.#house.quotas.chargeMore(this.principal, calls, Date.now());
  }

  /** Runs an operation. Rejects with a `TaskError`, at once when the signal is aborted. */
  run<T>(operation: (caller: Caller, signal: AbortSignal) => Promise<T>): Promise<T> {
    const caller = this.#caller;
    if (caller === undefined) throw new Error("call is not admitted");
    if (this.signal.aborted) return Promise.reject(toTaskError(this.signal.reason));
    return new Promise<T>((resolve, reject) => {
      this.#reject = reject;
      operation(caller, this.signal).then(resolve, (error: unknown) => reject(toTaskError(error)));
    });
  }

  /** Lets a stream live as long as its client wants it to. */
  unbound(): void {
    this.#dueMs = this.#clientDueMs ?? Number.POSITIVE_INFINITY;
    if (this.#clientDueMs === undefined) clearTimeout(this.#timer);
    else this.#arm(this.#dueMs);
  }

  /** A message went to the client. */
  sent(count = 1): void {
    this.#house.observer.rpcMessagesSent(this.name, count);
  }

  /** It was answered; `error` is undefined for OK. An operation that still runs is aborted. Only the first time counts. */
  end(error?: TaskError): void {
    if (this.#ended) return;
    this.#ended = true;
    const seconds = (performance.now() - this.#startedMs) / 1_000;
    const { observer, log } = this.#house;
    observer.rpcHandled(this.name, { code: error === undefined ? 0 : codeOf(error), seconds });
    if (error === undefined) return;
    log.failed({ ...this.name, principal: this.#principal?.name, seconds }, error);
    this.#abort(error);
  }

  /** Nothing goes to or comes from the client any more; a call that was not answered was cancelled. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    if (!this.#ended) this.end(new TaskError("CALL_CANCELLED", "client cancelled the call"));
    this.#release?.();
    this.#house.closed(this);
  }

  #arm(atMs: number): void {
    clearTimeout(this.#timer);
    const delayMs = Math.ceil(atMs - performance.now());
    this.#timer = setTimeout(() => this.#look(), Math.min(Math.max(delayMs, 0), maxTimerMs));
  }

  /** Most requests come at once, and then the timer that waited for them is left to wait for the rest. */
  #look(): void {
    const nowMs = performance.now();
    const dueMs = this.#received || this.#expired ? this.#dueMs : Math.min(this.#requestDueMs, this.#dueMs);
    if (nowMs >= dueMs) this.#expire();
    else this.#arm(dueMs);
  }

  #expire(): void {
    const error = new TaskError("DEADLINE_EXCEEDED", "deadline exceeded");
    if (this.#ended || this.#expired) {
      this.onExpired?.("gone", error);
      return;
    }
    this.#expired = true;
    this.#dueMs = performance.now() + lingerMs;
    this.#arm(this.#dueMs);
    this.#abort(error);
    this.onExpired?.("now", error);
  }

  #abort(error: TaskError): void {
    this.#aborter.abort(error);
    this.#reject?.(error);
  }
}

const names = new WeakMap<Method, Map<Protocol, RpcName>>();

/** One object for all calls of a method by a protocol. */
function nameOf(method: Method, protocol: Protocol): RpcName {
  const ofMethod = names.get(method) ?? new Map<Protocol, RpcName>();
  const name = ofMethod.get(protocol) ?? { protocol, service: method.service, method: method.name };
  names.set(method, ofMethod.set(protocol, name));
  return name;
}

const drainRetryDelayMs = 1_000;
/** How long a client may take to take its leave when its time is over. */
const lingerMs = 1_000;
const maxTimerMs = 2 ** 31 - 1;
const traceparentPattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** What is not a trace context is left out: it is not worth refusing a task for. */
function validTraceparent(traceparent: string | undefined): string | undefined {
  return traceparent !== undefined && traceparentPattern.test(traceparent) ? traceparent : undefined;
}

function assertRole(principal: Principal, method: Method): void {
  if (method.roles.some((role) => principal.roles.has(role))) return;
  throw new TaskError("ROLE_MISSING", `${method.name} needs the role ${method.roles.join(" or ")}`, {
    metadata: { roles: method.roles.join(",") },
  });
}

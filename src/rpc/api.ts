import { type DescMessage, isMessage, type MessageShape } from "@bufbuild/protobuf";

import { SubmitTasksRequestSchema, type WatchStatusRequest } from "../gen/taskwatch/v1/task_service_pb.ts";
import type { TaskOperations } from "../operations/operations.ts";
import { toTaskError } from "../task/errors.ts";
import type { Principals } from "./access/principals.ts";
import { createQuotas, type QuotaOptions } from "./access/quotas.ts";
import { createApiService } from "./api-service.ts";
import { createCallLog } from "./call-log.ts";
import { type Call, type Calls, createCalls } from "./calls.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { methods } from "./methods.ts";
import type { RpcLogger, RpcObserver } from "./observer.ts";
import { createRequestValidator } from "./validation.ts";
import { createWatches, type OpenWatch } from "./watches.ts";

/** What `createApi` needs. */
export interface ApiOptions {
  readonly operations: TaskOperations;
  /** Closed by whoever made them. */
  readonly principals: Principals;
  readonly observer: RpcObserver;
  readonly logger: RpcLogger;
  /** None if unset. */
  readonly quotas?: QuotaOptions | undefined;
  /** How many watches one principal may have open; 1,000 if unset. */
  readonly maxWatchesPerPrincipal?: number | undefined;
  /** How many watches may be open in all; 10,000 if unset. */
  readonly maxWatches?: number | undefined;
  /** How often the credentials of open watches are looked at, in ms; 5,000 if unset. */
  readonly credentialCheckMs?: number | undefined;
  /** What differs from `defaultLimits`. */
  readonly limits?: Partial<Limits> | undefined;
}

/** What the listeners of a process have in common. */
export interface Api {
  readonly principals: Principals;
  readonly observer: RpcObserver;
  readonly logger: RpcLogger;
  readonly limits: Limits;
  /** The calls of one more listener. */
  createCalls(): Calls;
  /** Answers an admitted unary call. Rejects with a `TaskError`. */
  unary(call: Call, request: MessageShape<DescMessage>): Promise<Buffer>;
  /** Opens the watch that an admitted call asks for. Rejects with a `TaskError`. */
  watchStatus(call: Call, request: WatchStatusRequest): Promise<OpenWatch>;
  /** Releases what does not belong to a listener. After the listeners are closed. Idempotent. */
  close(): void;
}

/** Makes the API of one process: both listeners are made of it. */
export function createApi(options: ApiOptions): Api {
  const { operations, principals, observer, logger } = options;
  const service = createApiService(operations, createRequestValidator());
  const watches = createWatches({
    principals,
    observer,
    maxPerPrincipal: options.maxWatchesPerPrincipal,
    maxOpen: options.maxWatches,
    checkIntervalMs: options.credentialCheckMs,
  });
  const limits = { ...defaultLimits, ...options.limits };
  const shared = {
    principals,
    observer,
    limits,
    quotas: createQuotas(options.quotas ?? {}),
    log: createCallLog(logger),
  };
  observer.rpcMethods(
    methods.map(({ service: of, name, streaming }) => ({
      service: of,
      method: name,
      type: streaming ? "server_stream" : "unary",
    })),
  );
  return {
    principals,
    observer,
    logger,
    limits,
    createCalls: () => createCalls(shared),
    unary(call, request) {
      if (isMessage(request, SubmitTasksRequestSchema)) call.chargeMore(request.requests.length - 1);
      return call.run((caller, signal) => service.unary(call.method.desc, request, caller, signal));
    },
    watchStatus(call, request) {
      return call.run(async (caller, signal) => {
        const watch = await watches.open(call.principal, () => service.watchStatus(request, caller, signal));
        // Nobody waits for it any more.
        if (signal.aborted) watch.close(toTaskError(signal.reason));
        return watch;
      });
    },
    close: () => watches.close(),
  };
}

import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";

import {
  type SubmitTasksRequest,
  SubmitTasksRequestSchema,
  TaskService,
  type WatchStatusRequest,
} from "../gen/taskwatch/v1/task_service_pb.ts";
import type { Caller, Submitted, TaskOperations, Watch } from "../operations/operations.ts";
import { invalidField, TaskError } from "../task/errors.ts";
import {
  encodeBatchGetStatusResponse,
  encodeListTasksResponse,
  encodeStatusResponse,
  encodeSubmitTaskResponse,
  encodeSubmitTasksResponse,
  encodeWaitTaskResponse,
} from "./answers/encode.ts";
import { maxMessageBytes } from "./limits.ts";
import type { RequestValidator } from "./validation.ts";

/** Answers the methods of the API, whatever the transport. Requests are messages, answers are encoded. */
export interface ApiService {
  /** Whether a method has an operation. */
  has(method: DescMethod): boolean;
  /** Throws `TaskError`. */
  unary(method: DescMethod, request: MessageShape<DescMessage>, caller: Caller, signal: AbortSignal): Promise<Buffer>;
  /** Throws `TaskError`. */
  watchStatus(request: WatchStatusRequest, caller: Caller, signal: AbortSignal): Promise<Watch>;
}

/** Makes the service over the operations. Methods that have no operation answer NOT_IMPLEMENTED. */
export function createApiService(operations: TaskOperations, validator: RequestValidator): ApiService {
  const answers = createAnswers(operations, validator);
  return {
    has: (method) => method === TaskService.method.watchStatus || answers.has(method),
    async unary(method, request, caller, signal) {
      if (method.input !== SubmitTasksRequestSchema) validator.check(method.input, request);
      const answer = answers.get(method);
      if (answer === undefined) throw notImplemented(`${method.name} is not implemented`);
      const bytes = await answer(request, caller, signal);
      if (bytes.length > maxMessageBytes) throw responseTooLarge(bytes.length);
      return bytes;
    },
    async watchStatus(request, caller, signal) {
      validator.check(TaskService.method.watchStatus.input, request);
      assertWatchable(request);
      return operations.watchStatus(request, caller, signal);
    },
  };
}

type Answer<Request> = (request: Request, caller: Caller, signal: AbortSignal) => Promise<Buffer>;

/** A method with its answer; the types of the two agree. */
function answering<Input extends DescMessage>(
  method: DescMethod & { readonly input: Input },
  run: Answer<MessageShape<Input>>,
): [DescMethod, Answer<MessageShape<DescMessage>>] {
  return [method, run as Answer<MessageShape<DescMessage>>];
}

function createAnswers(operations: TaskOperations, validator: RequestValidator) {
  const { method } = TaskService;
  return new Map([
    answering(method.submitTask, async (request, caller, signal) =>
      encodeSubmitTaskResponse(await operations.submitTask(request, caller, signal)),
    ),
    answering(method.submitTasks, async (request, caller, signal) =>
      encodeSubmitTasksResponse(await submitTasks({ operations, validator, request }, caller, signal)),
    ),
    answering(method.getStatus, async (request, caller, signal) =>
      encodeStatusResponse(await operations.getStatus(request, caller, signal)),
    ),
    answering(method.batchGetStatus, async (request, caller, signal) =>
      encodeBatchGetStatusResponse(await operations.batchGetStatus(request, caller, signal)),
    ),
    answering(method.waitTask, async (request, caller, signal) =>
      encodeWaitTaskResponse(await operations.waitTask(request, caller, signal)),
    ),
    answering(method.listTasks, async (request, caller, signal) =>
      encodeListTasksResponse(await operations.listTasks(request, caller, signal)),
    ),
    answering(method.cancelTask, async (request, caller, signal) =>
      encodeStatusResponse(await operations.cancelTask(request, caller, signal)),
    ),
  ]);
}

/** Submits the tasks of a batch that are valid, and puts the refusals of the others in their places. */
async function submitTasks(
  batch: {
    readonly operations: TaskOperations;
    readonly validator: RequestValidator;
    readonly request: SubmitTasksRequest;
  },
  caller: Caller,
  signal: AbortSignal,
): Promise<(Submitted | TaskError)[]> {
  const { operations, validator, request } = batch;
  const refusals = validator.checkBatch(request);
  if (refusals.size === 0) return operations.submitTasks(request, caller, signal);
  const requests = request.requests.filter((_request, position) => !refusals.has(position));
  const results = requests.length === 0 ? [] : await operations.submitTasks({ ...request, requests }, caller, signal);
  const accepted = results.values();
  return request.requests.map((_request, position) => {
    const result = refusals.get(position) ?? accepted.next().value;
    if (result === undefined)
      throw new TaskError("INTERNAL", "internal error", { cause: new Error("task without a result") });
    return result;
  });
}

function assertWatchable({ taskIds, selector }: WatchStatusRequest): void {
  if (taskIds.length === 0 && selector === undefined) {
    throw invalidField({ field: "task_ids", description: "name tasks, or give a selector", rule: "REQUIRED" });
  }
  if (selector === undefined) return;
  if (taskIds.length > 0) {
    throw invalidField({ field: "selector", description: "must not be set beside task_ids", rule: "EXCLUSIVE" });
  }
  throw notImplemented("watching a selector is not implemented");
}

function notImplemented(message: string): TaskError {
  return new TaskError("NOT_IMPLEMENTED", message);
}

function responseTooLarge(bytes: number): TaskError {
  return new TaskError(
    "RESPONSE_TOO_LARGE",
    `answer has ${bytes} bytes, at most ${maxMessageBytes} are sent: ask for less`,
  );
}

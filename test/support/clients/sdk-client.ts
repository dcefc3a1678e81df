import { Code } from "@connectrpc/connect";
import { codeFromString } from "@connectrpc/connect/protocol-connect";

import { type TaskStatus, type TaskwatchClient, TaskwatchError } from "../../../src/client/index.ts";
import { Refused, type ScenarioClient, type StatusJson } from "./scenario-client.ts";

interface Request {
  readonly taskId: string;
  readonly queue: string;
  readonly type: string;
  readonly payload?: { readonly json?: unknown };
  readonly labels?: Record<string, string>;
  readonly reason?: string;
  readonly selector?: { readonly queues?: string[]; readonly labels?: Record<string, string> };
}

/** The SDK, told in the words of the schema. */
export function createSdkClient(client: TaskwatchClient): ScenarioClient {
  const answer = async (method: string, request: Request): Promise<Record<string, unknown>> => {
    switch (method) {
      case "SubmitTask": {
        const { queue, type, payload, labels } = request;
        const { status } = await client.submit({ queue, type, payload: payload?.json, labels });
        return { status: jsonFrom(status) };
      }
      case "GetStatus":
        return { status: jsonFrom(await client.get(request.taskId)) };
      case "CancelTask":
        return { status: jsonFrom(await client.cancel(request.taskId, { reason: request.reason })) };
      case "ListTasks": {
        const statuses: StatusJson[] = [];
        for await (const status of client.list(request.selector ?? {})) statuses.push(jsonFrom(status));
        return { statuses };
      }
      default:
        throw new Error(`the scenario does not call ${method}`);
    }
  };
  return {
    call: (method, request) => answer(method, request as Request).catch(refuse),
    async watch(taskId) {
      const statuses: StatusJson[] = [];
      try {
        for await (const event of client.watch(taskId)) {
          if (event.kind === "status") statuses.push(jsonFrom(event.status));
        }
      } catch (error) {
        refuse(error);
      }
      return statuses;
    },
  };
}

function jsonFrom(status: TaskStatus): StatusJson {
  const { taskId, state, attempt, result, labels, progress, cancellation } = status;
  return {
    taskId,
    state: `TASK_STATE_${state}`,
    attempt,
    labels,
    ...(result === undefined ? {} : { result: { json: result } }),
    ...(progress === undefined ? {} : { progress: { done: progress.done, total: progress.total ?? 0 } }),
    ...(cancellation === undefined ? {} : { cancellation: { reason: cancellation.reason } }),
  };
}

function refuse(error: unknown): never {
  if (!(error instanceof TaskwatchError)) throw error;
  const code = codeFromString(error.code.toLowerCase()) ?? Code.Unknown;
  throw new Refused({ code, reason: error.reason ?? "", fields: error.fields.map(({ field }) => field) });
}

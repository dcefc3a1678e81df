import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema } from "../../../src/gen/google/rpc/error_details_pb.ts";
import { TaskService } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { methodNamed } from "./grpc-js-client.ts";
import { Refused, type ScenarioClient, type StatusJson } from "./scenario-client.ts";

/** connect-es, over whichever of its transports. */
export function createConnectClient(transport: Transport): ScenarioClient {
  return {
    async call(method, request) {
      const desc = methodNamed(method);
      const input = fromJson(desc.input, request as JsonValue);
      const answer = await transport
        .unary(desc as typeof TaskService.method.getStatus, undefined, undefined, undefined, input as never)
        .catch(refuse);
      return toJson(desc.output, answer.message) as Record<string, unknown>;
    },
    async watch(taskId) {
      const desc = TaskService.method.watchStatus;
      const statuses: StatusJson[] = [];
      try {
        const once = (async function* () {
          yield fromJson(desc.input, { taskIds: [taskId] });
        })();
        const answer = await transport.stream(desc, undefined, undefined, undefined, once);
        for await (const message of answer.message) {
          const json = toJson(desc.output, message) as { readonly status?: { readonly status: StatusJson } };
          if (json.status !== undefined) statuses.push(json.status.status);
        }
      } catch (error) {
        refuse(error);
      }
      return statuses;
    },
  };
}

function refuse(cause: unknown): never {
  const error = ConnectError.from(cause);
  const [info] = error.findDetails(ErrorInfoSchema);
  const [badRequest] = error.findDetails(BadRequestSchema);
  throw new Refused({
    code: error.code,
    reason: info?.reason ?? "",
    fields: badRequest?.fieldViolations.map(({ field }) => field) ?? [],
  });
}

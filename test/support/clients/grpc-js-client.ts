import { fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";

import { BadRequestSchema, ErrorInfoSchema } from "../../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../src/gen/google/rpc/status_pb.ts";
import { TaskService, type WatchStatusResponse } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { type ErrorJson, Refused, type ScenarioClient, type StatusJson } from "./scenario-client.ts";

/** Bare grpc-js, without the SDK. */
export function createGrpcJsClient(address: string): ScenarioClient & Disposable {
  const client = new Client(address, credentials.createInsecure());
  return {
    call(method, request) {
      const desc = methodNamed(method);
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          `/${TaskService.typeName}/${method}`,
          (message: Uint8Array) => Buffer.from(message),
          (bytes) => toJson(desc.output, fromBinary(desc.output, bytes)),
          toBinary(desc.input, fromJson(desc.input, request as JsonValue)),
          (error, answer) =>
            error === null ? resolve(answer as Record<string, unknown>) : reject(new Refused(errorOf(error))),
        );
      });
    },
    watch(taskId) {
      const desc = TaskService.method.watchStatus;
      const stream = client.makeServerStreamRequest(
        `/${TaskService.typeName}/WatchStatus`,
        (message: Uint8Array) => Buffer.from(message),
        (bytes): WatchStatusResponse => fromBinary(desc.output, bytes),
        toBinary(desc.input, fromJson(desc.input, { taskIds: [taskId] })),
      );
      const statuses: StatusJson[] = [];
      return new Promise((resolve, reject) => {
        stream.on("data", (message: WatchStatusResponse) => {
          const json = toJson(desc.output, message) as { readonly status?: { readonly status: StatusJson } };
          if (json.status !== undefined) statuses.push(json.status.status);
        });
        stream.on("end", () => resolve(statuses));
        stream.on("error", (error: ServiceError) => reject(new Refused(errorOf(error))));
      });
    },
    [Symbol.dispose]: () => client.close(),
  };
}

/** The error of an encoded google.rpc.Status. */
export function errorFromStatusBytes(bytes: Uint8Array): ErrorJson {
  const { code, details } = fromBinary(StatusSchema, bytes);
  const found = { code, reason: "", fields: [] as string[] };
  for (const { typeUrl, value } of details) {
    if (typeUrl.endsWith("google.rpc.ErrorInfo")) found.reason = fromBinary(ErrorInfoSchema, value).reason;
    if (typeUrl.endsWith("google.rpc.BadRequest")) {
      found.fields = fromBinary(BadRequestSchema, value).fieldViolations.map(({ field }) => field);
    }
  }
  return found;
}

/** The description of a method of TaskService. */
export function methodNamed(name: string) {
  const method = TaskService.methods.find((candidate) => candidate.name === name);
  if (method === undefined) throw new Error(`TaskService has no method ${name}`);
  return method;
}

function errorOf(error: ServiceError): ErrorJson {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (bytes instanceof Buffer) return errorFromStatusBytes(bytes);
  return { code: error.code, reason: "", fields: [] };
}

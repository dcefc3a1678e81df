import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator, type Violation } from "@bufbuild/protovalidate";

import {
  BatchGetStatusRequestSchema,
  type SubmitTasksRequest,
  SubmitTasksRequestSchema,
} from "../gen/taskwatch/v1/task_service_pb.ts";
import { type FieldViolation, TaskError } from "../task/errors.ts";
import { methods } from "./methods.ts";
import { malformedFields } from "./well-formed.ts";

/** Holds requests against the rules of the schema. */
export interface RequestValidator {
  /** Throws REQUEST_INVALID, with every rule that is broken. */
  check<Desc extends DescMessage>(schema: Desc, request: MessageShape<Desc>): void;
  /** As `check`, but what is wrong with a single task is returned under its position instead of failing all of them. */
  checkBatch(request: SubmitTasksRequest): ReadonlyMap<number, TaskError>;
}

/** Makes a validator. Compiles all rules at once, so that the first request does not wait for it. */
export function createRequestValidator(): RequestValidator {
  const validator = createValidator();
  const violationsOf = <Desc extends DescMessage>(schema: Desc, request: MessageShape<Desc>): Violation[] => {
    const result = validator.validate(schema, request);
    if (result.kind === "error") throw new TaskError("INTERNAL", "internal error", { cause: result.error });
    return result.kind === "valid" ? [] : result.violations;
  };
  for (const { desc } of methods) violationsOf(desc.input, create(desc.input));
  violationsOf(
    SubmitTasksRequestSchema,
    create(SubmitTasksRequestSchema, { requests: [{ payload: {}, retryPolicy: {} }] }),
  );
  violationsOf(BatchGetStatusRequestSchema, create(BatchGetStatusRequestSchema, { taskIds: ["a"] }));
  return {
    check(schema, request) {
      // First, because the rules of the schema take times for what they should be.
      const fields = malformedFields(request);
      if (fields.length === 0)
        fields.push(...violationsOf(schema, request).map((violation) => fieldViolation(violation)));
      if (fields.length > 0) throw requestInvalid(fields);
    },
    checkBatch(request) {
      const ofBatch: FieldViolation[] = [];
      const ofItem = new Map<number, FieldViolation[]>();
      for (const [item, task] of request.requests.entries()) {
        const fields = malformedFields(task);
        if (fields.length > 0) ofItem.set(item, fields);
      }
      for (const violation of violationsOf(SubmitTasksRequestSchema, request)) {
        const item = itemOf(violation);
        if (item === undefined) ofBatch.push(fieldViolation(violation));
        else ofItem.set(item, [...(ofItem.get(item) ?? []), fieldViolation(violation, itemDepth)]);
      }
      if (ofBatch.length > 0) throw requestInvalid(ofBatch);
      return new Map(Array.from(ofItem, ([item, fields]) => [item, requestInvalid(fields)]));
    },
  };
}

/** `requests`, then the position. */
const itemDepth = 2;

function itemOf({ field }: Violation): number | undefined {
  const position = field[1];
  return position?.kind === "list_sub" ? position.index : undefined;
}

/** Which field a rule of a whole message is about, by the id of the rule. */
const fieldOfMessageRule: Readonly<Record<string, string>> = {
  SCHEDULE_TOO_FAR: "schedule_time",
  DEADLINE_TOO_FAR: "deadline",
  BACKOFF_ORDER: "retry_policy.maximum_backoff",
};

function fieldViolation({ field, ruleId, message }: Violation, skip = 0): FieldViolation {
  const path = pathToString(field.slice(skip));
  const rest = fieldOfMessageRule[ruleId];
  return {
    field: rest === undefined ? path : path === "" ? rest : `${path}.${rest}`,
    description: message,
    rule: ruleId.replaceAll(".", "_").toUpperCase(),
  };
}

function requestInvalid(fields: readonly FieldViolation[]): TaskError {
  const [first] = fields;
  const more = fields.length > 1 ? ` (and ${fields.length - 1} more)` : "";
  const message = first === undefined ? "request is not valid" : `${first.field}: ${first.description}${more}`;
  return new TaskError("REQUEST_INVALID", message, { fields });
}

import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";

import { statusFromMessage } from "../../../src/client/status/status-from-message.ts";
import { readAnswer, readAnswers } from "../../../src/client/submit/submit-answer.ts";
import { TaskState, TaskStatusSchema } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { SubmitTaskResponseSchema, SubmitTasksResponseSchema } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";

const status = create(TaskStatusSchema, {
  taskId: "q_1",
  queue: "q",
  state: TaskState.QUEUED,
  labels: { a: "b" },
  createTime: { seconds: 5n },
});

describe("the answer to a submit", () => {
  it("is read as the library would read it", () => {
    const answer = { status, resumeToken: "after", duplicate: true };
    const task = readAnswer(toBinary(SubmitTaskResponseSchema, create(SubmitTaskResponseSchema, answer)));
    expect(task).toMatchObject({ taskId: "q_1", resumeToken: "after", duplicate: true });
    expect(task.status).toEqual(statusFromMessage(status));
    expect(task.status).toBe(task.status);
  });

  it("is read item by item, in order, errors among them", () => {
    const answers = create(SubmitTasksResponseSchema, {
      results: [
        { result: { case: "accepted", value: { status, resumeToken: "after" } } },
        { result: { case: "error", value: { code: 8, reason: "QUEUE_LIMIT_REACHED", message: "full" } } },
        { result: { case: "accepted", value: { status: { taskId: "q_3" } } } },
      ],
    });
    const [first, second, third, ...others] = readAnswers(toBinary(SubmitTasksResponseSchema, answers));
    expect(first).toMatchObject({ taskId: "q_1", resumeToken: "after", duplicate: false, status: { queue: "q" } });
    expect(second).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "QUEUE_LIMIT_REACHED", message: "full" });
    expect(third).toMatchObject({ taskId: "q_3", resumeToken: "", status: { taskId: "q_3" } });
    expect(others).toEqual([]);
  });

  it("may hold fields of a later version, and a status in parts", () => {
    const immutable = toBinary(TaskStatusSchema, status);
    const mutable = toBinary(TaskStatusSchema, create(TaskStatusSchema, { state: TaskState.RUNNING, revision: 7n }));
    const { status: field } = SubmitTaskResponseSchema.field;
    const writer = new BinaryWriter();
    writer.tag(99, WireType.LengthDelimited).string("from the future");
    writer.tag(field.number, WireType.LengthDelimited).bytes(immutable);
    writer.tag(98, WireType.Varint).uint32(1);
    writer.tag(field.number, WireType.LengthDelimited).bytes(mutable);
    const task = readAnswer(writer.finish());
    expect(task.taskId).toBe("q_1");
    expect(task.status).toMatchObject({ queue: "q", state: "RUNNING", revision: 7, labels: { a: "b" } });
  });
});

import type { MessageInitShape } from "@bufbuild/protobuf";

import {
  createTaskwatchClient,
  type Interruption,
  type TaskwatchClientOptions,
  type Watch,
  type WatchEvent,
} from "../../../src/client/index.ts";
import type { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import type { WatchStatusResponseSchema } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { HeldClock } from "./held-clock.ts";
import { type Script, startScriptedService } from "./scripted-service.ts";

/** A message of a watch. */
export type Message = MessageInitShape<typeof WatchStatusResponseSchema>;

/** What an iterator that is at its end gives. */
export const ended = { value: undefined, done: true };

let tokens = 0;

/** The message that tells a status, of task `q_1` unless another one is named. */
export function status(
  state: TaskState,
  revision: number,
  more: { id?: string; snapshot?: boolean; merged?: number; token?: string } = {},
): Message {
  const { id = "q_1", snapshot = false, merged = 0, token = `token-${(tokens += 1)}` } = more;
  return {
    resumeToken: token,
    event: {
      case: "status",
      value: { status: { taskId: id, state, revision: BigInt(revision) }, snapshot, merged },
    },
  };
}

/** The message that says that nothing happened. */
export function bookmark(token: string): Message {
  return { resumeToken: token, event: { case: "bookmark", value: { revision: 9n } } };
}

/** A service, a client with a held clock, and what it was told of interruptions. */
export async function setUp(script: Script = {}, options: Partial<TaskwatchClientOptions> = {}) {
  const service = await startScriptedService(script);
  const clock = new HeldClock();
  const client = createTaskwatchClient({ address: service.address, clock, ...options });
  const interruptions: Interruption[] = [];
  return {
    service,
    clock,
    client,
    interruptions,
    onInterrupted: (interruption: Interruption) => void interruptions.push(interruption),
    /** The nth interruption, counted from 1. */
    interruption: (number: number) => eventually(`interruption ${number}`, () => interruptions[number - 1]),
    [Symbol.asyncDispose]: async () => {
      client.close();
      await service[Symbol.asyncDispose]();
    },
  };
}

/** Opens a watch whose first event nobody asks for. */
export function begin(watch: Watch): void {
  watch.next().catch(() => {});
}

/** The next event, which must come before the end. */
export async function nextOf(watch: Watch): Promise<WatchEvent> {
  const { value } = await watch.next();
  if (value === undefined) throw new Error("the watch has ended");
  return value;
}

/** The next event in short: task, state and revision of a status, or the kind of another event. */
export async function nextState(watch: Watch): Promise<string> {
  return inShort(await nextOf(watch));
}

/** An event in short. */
export function inShort(event: WatchEvent): string {
  return event.kind === "status" ? `${event.status.taskId} ${event.status.state} ${event.status.revision}` : event.kind;
}

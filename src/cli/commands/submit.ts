import type { Command } from "commander";

import type { Priority } from "../../client/status/task-status.ts";
import type { Submission, SubmittedTask } from "../../client/submit/submission.ts";
import { UsageError } from "../cli-errors.ts";
import type { Connection, Session } from "../session.ts";
import { follow } from "./follow.ts";
import {
  choiceValue,
  countValue,
  durationValue,
  labelValue,
  parseJson,
  readSource,
  timeValue,
} from "./option-values.ts";

interface SubmitFlags {
  readonly queue: string;
  readonly label?: Record<string, string>;
  readonly priority?: Priority;
  readonly delay?: number;
  readonly deadline?: Date;
  readonly timeout?: number;
  readonly retention?: number;
  readonly requestId?: string;
  readonly maxAttempts?: number;
  readonly file?: string;
  readonly contentType?: string;
  readonly wait?: boolean;
  readonly watch?: boolean;
}

/** `taskwatch submit`: submits a task. */
export function addSubmit(program: Command, session: Session): void {
  program
    .command("submit")
    .description("submit a task")
    .argument("<type>", "what picks the handler")
    .argument("[payload]", "what the handler gets, as JSON")
    .option("-q, --queue <queue>", "where it waits", "default")
    .option("-f, --file <path>", "take the payload from a file; - is standard input")
    .option("--content-type <type>", "send the payload as bytes of this media type, not as JSON")
    .option("-l, --label <name=value>", "for finding it again; may be repeated", labelValue)
    .option("--priority <priority>", "low, normal or high", (text) => choiceValue(text, ["LOW", "NORMAL", "HIGH"]))
    .option("--delay <duration>", "run it not before this time has passed", durationValue)
    .option("--deadline <time>", "give it up after a duration from now, or at a date", timeValue)
    .option("--timeout <duration>", "how long one attempt may run", durationValue)
    .option("--retention <duration>", "how long its status is kept after its end", durationValue)
    .option("--request-id <id>", "submitting the same with the same id again gives the same task")
    .option("--max-attempts <count>", "how many times it may be started in all", countValue)
    .option("--wait", "wait for its end and write only that; the exit code tells how it ended")
    .option("--watch", "show it until its end; the exit code tells how it ended")
    .action(async (type: string, payload: string | undefined, flags: SubmitFlags) => {
      if (flags.wait && flags.watch) throw new UsageError("--wait and --watch cannot be used together");
      const submission = { ...submissionFrom(type, flags), ...(await payloadFrom(payload, flags, session)) };
      await using connection = await session.connect();
      const task = await connection.client.submit(submission, { signal: session.io.interrupted });
      await show(session, connection, { task, flags });
    });
}

async function show(
  session: Session,
  connection: Connection,
  { task, flags }: { readonly task: SubmittedTask; readonly flags: SubmitFlags },
): Promise<void> {
  const { io, options } = session;
  const { taskId, status, resumeToken, duplicate } = task;
  if (flags.wait || flags.watch) {
    const accepted = duplicate ? "is there already" : "is accepted";
    if (options.format === "table") io.err.write(`${taskId} ${accepted}\n`);
    session.exitCode = await follow(session, connection, {
      taskIds: [taskId],
      show: flags.watch ? "events" : "end",
    });
  } else if (options.format === "json") {
    const json = { status: connection.statusToJson(status), resumeToken, ...(duplicate && { duplicate }) };
    io.out.write(`${JSON.stringify(json)}\n`);
  } else {
    io.out.write(`${taskId}\n`);
    io.err.write(`${status.state}${duplicate ? ", submitted before" : ""}; taskwatch watch ${taskId}\n`);
  }
}

function submissionFrom(type: string, flags: SubmitFlags): Submission {
  const { queue, label, priority, delay, deadline, timeout, retention, requestId, maxAttempts } = flags;
  return {
    queue,
    type,
    labels: label,
    priority,
    delayMs: delay,
    deadline,
    timeoutMs: timeout,
    retentionMs: retention,
    requestId,
    retry: maxAttempts === undefined ? undefined : { maxAttempts },
  };
}

async function payloadFrom(
  text: string | undefined,
  { file, contentType }: SubmitFlags,
  { io }: Session,
): Promise<Pick<Submission, "payload" | "contentType">> {
  if (text !== undefined && file !== undefined) throw new UsageError("give the payload or --file, not both");
  if (text === undefined && file === undefined) return {};
  const bytes = file === undefined ? new TextEncoder().encode(text) : await readSource(file, io);
  if (contentType !== undefined) return { payload: bytes, contentType };
  return { payload: parseJson(new TextDecoder().decode(bytes), file ?? "the payload") };
}

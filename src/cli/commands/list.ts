import type { Command } from "commander";

import type { TaskState, TaskStatus } from "../../client/status/task-status.ts";
import { writeStatuses } from "../screen/write-statuses.ts";
import type { Session } from "../session.ts";
import { choiceValue, countValue, labelValue, listValue, timeValue } from "./option-values.ts";

interface ListFlags {
  readonly queue?: string[];
  readonly type?: string[];
  readonly state?: TaskState[];
  readonly label?: Record<string, string>;
  readonly since?: Date;
  readonly limit: number;
}

const states: readonly TaskState[] = [
  "SCHEDULED",
  "QUEUED",
  "RUNNING",
  "RETRYING",
  "CANCELLING",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
  "EXPIRED",
];
const defaultLimit = 50;
const maxPageSize = 500;

/** `taskwatch list`: lists tasks. */
export function addList(program: Command, session: Session): void {
  program
    .command("list")
    .description("list tasks, newest first")
    .option("-q, --queue <queue>", "of this queue; several are joined by OR", listValue)
    .option("-t, --type <type>", "of this type; several are joined by OR", listValue)
    .option("-s, --state <state>", "in this state, such as running or failed; several are joined by OR", stateValue)
    .option("-l, --label <name=value>", "with this label; several are joined by AND", labelValue)
    .option("--since <time>", "created since a date, or for a duration such as 1h", sinceValue)
    .option("-n, --limit <count>", "at most so many", countValue, defaultLimit)
    .action(async ({ queue, type, state, label, since, limit }: ListFlags) => {
      await using connection = await session.connect();
      const { client, statusToJson } = connection;
      const json = session.options.format === "json";
      const found: TaskStatus[] = [];
      let count = 0;
      for await (const status of client.list({
        queues: queue,
        types: type,
        states: state,
        labels: label,
        createdAfter: since,
        pageSize: Math.min(limit, maxPageSize),
        omitResults: !json,
        signal: session.io.interrupted,
      })) {
        if (json) writeStatuses(session, [status], statusToJson);
        else found.push(status);
        count += 1;
        if (count === limit) break;
      }
      writeStatuses(session, found, statusToJson);
      if (!json && count === 0) session.io.err.write("no such tasks\n");
    });
}

function stateValue(text: string, before: readonly TaskState[] = []): TaskState[] {
  return [...before, ...listValue(text).map((item) => choiceValue(item, states))];
}

/** A duration counts back from now. */
function sinceValue(text: string): Date {
  const time = timeValue(text);
  return /^\d{4}-/.test(text) ? time : new Date(2 * Date.now() - time.getTime());
}

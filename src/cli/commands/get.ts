import type { Command } from "commander";

import type { TaskStatus } from "../../client/status/task-status.ts";
import { exitCodeOf } from "../exit-codes.ts";
import { reportError } from "../screen/error-report.ts";
import { styleOf } from "../screen/style.ts";
import { taskDetail } from "../screen/task-detail.ts";
import { writeStatuses } from "../screen/write-statuses.ts";
import type { Session } from "../session.ts";

/** `taskwatch get`: shows tasks as they are now. */
export function addGet(program: Command, session: Session): void {
  program
    .command("get")
    .description("show tasks as they are now")
    .argument("<id...>", "the tasks")
    .action(async (taskIds: string[]) => {
      const { io, options } = session;
      await using connection = await session.connect();
      const { client, statusToJson } = connection;
      const [only, ...others] = taskIds;
      if (only !== undefined && others.length === 0) {
        const status = await client.get(only, { signal: io.interrupted });
        if (options.format === "json") writeStatuses(session, [status], statusToJson);
        else io.out.write(taskDetail(status, { nowMs: Date.now(), style: styleOf(io.out, io) }));
        return;
      }
      const found: TaskStatus[] = [];
      for (const { status, error } of await client.getMany(taskIds, { signal: io.interrupted })) {
        if (status !== undefined) {
          found.push(status);
          continue;
        }
        io.err.write(reportError(error, options.address, styleOf(io.err, io)));
        session.exitCode = exitCodeOf(error);
      }
      writeStatuses(session, found, statusToJson);
    });
}

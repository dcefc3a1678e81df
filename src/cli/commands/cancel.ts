import type { Command } from "commander";

import { writeStatuses } from "../screen/write-statuses.ts";
import type { Session } from "../session.ts";
import { durationValue } from "./option-values.ts";

/** `taskwatch cancel`: cancels a task. */
export function addCancel(program: Command, session: Session): void {
  program
    .command("cancel")
    .description("cancel a task: at once if it waits, else by asking its attempt to stop")
    .argument("<id>", "the task")
    .option("--reason <text>", "why; kept in its status")
    .option("--grace <duration>", "how long the attempt may take to stop by itself (default: 30s)", durationValue)
    .action(async (taskId: string, { reason, grace: graceMs }: { reason?: string; grace?: number }) => {
      await using connection = await session.connect();
      const { client, statusToJson } = connection;
      const status = await client.cancel(taskId, { reason, graceMs, signal: session.io.interrupted });
      writeStatuses(session, [status], statusToJson);
    });
}

import type { Command } from "commander";

import type { Session } from "../session.ts";
import { follow } from "./follow.ts";
import { durationValue } from "./option-values.ts";
import { requireTasks } from "./require-tasks.ts";

/** `taskwatch wait`: waits for the end of a task. */
export function addWait(program: Command, session: Session): void {
  program
    .command("wait")
    .description("wait for the end of tasks and write their last status; the exit code tells how they ended")
    .argument("<id...>", "the tasks, up to 1,000")
    .option("--timeout <duration>", "give up after this time, such as 30s or 5m", durationValue)
    .action(async (taskIds: string[], { timeout: timeoutMs }: { timeout?: number }) => {
      await using connection = await session.connect();
      await requireTasks(connection, taskIds, session.io.interrupted);
      session.exitCode = await follow(session, connection, { taskIds, show: "end", timeoutMs });
    });
}

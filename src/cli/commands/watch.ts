import type { Command } from "commander";

import type { Session } from "../session.ts";
import { follow } from "./follow.ts";
import { requireTasks } from "./require-tasks.ts";

/** `taskwatch watch`: shows tasks until all of them have ended. */
export function addWatch(program: Command, session: Session): void {
  program
    .command("watch")
    .description("show tasks as they change, until all of them have ended")
    .argument("<id...>", "the tasks, up to 1,000")
    .action(async (taskIds: string[]) => {
      await using connection = await session.connect();
      await requireTasks(connection, taskIds, session.io.interrupted);
      session.exitCode = await follow(session, connection, { taskIds, show: "events" });
    });
}

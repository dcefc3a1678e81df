import type { Command } from "commander";

import type { Session } from "../session.ts";

/** `taskwatch serve`: runs the service. */
export function addServe(program: Command, session: Session): void {
  program
    .command("serve")
    .description("run the service; its settings are the TASKWATCH_ variables that the README lists")
    .action(async () => {
      const { main } = await import("../../main.ts");
      // A signal that came while it was loaded would have nobody else to heed it.
      session.io.interrupted.throwIfAborted();
      session.exitCode = await main();
    });
}

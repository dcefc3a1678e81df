import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { FatalError, type Handler, RetryableError } from "../../../src/worker/index.ts";

/**
 * Handlers that write down outside of everything what they really did: one line an attempt, `<task id> <attempt> <pid>`, in the
 * file named by `LEDGER`.
 */
export const handlers: Readonly<Record<string, Handler>> = {
  note: (context) => {
    note(context);
    return { attempt: context.attempt };
  },
  nap: async (context) => {
    note(context);
    const { ms } = context.payload as { readonly ms: number };
    await sleep(ms, undefined, { signal: context.signal });
    return { slept: ms };
  },
  count: async (context) => {
    note(context);
    const { to } = context.payload as { readonly to: number };
    for (let done = 1; done <= to; done += 1) {
      context.progress({ done, total: to, unit: "steps" });
      await sleep(10, undefined, { signal: context.signal });
    }
    return to;
  },
  break: (context) => {
    note(context);
    throw new FatalError("BROKEN", "as asked");
  },
  fail: (context) => {
    note(context);
    throw new RetryableError("FLAKY", "as asked");
  },
  exit: (context) => {
    note(context);
    process.exit(17);
  },
};

function note({ taskId, attempt }: { readonly taskId: string; readonly attempt: number }): void {
  appendFileSync(process.env["LEDGER"] ?? "/dev/null", `${taskId} ${attempt} ${process.pid}\n`);
}

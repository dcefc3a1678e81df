import { readdir, readFile } from "node:fs/promises";

import { eventually } from "./eventually.ts";

/** Stops a process with SIGSTOP and waits until every thread of it stands: until then some of them may still answer. */
export async function stopProcess(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await eventually("all threads to stand", async () => {
    const threads = await readdir(`/proc/${pid}/task`);
    const stats = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, "utf8")));
    return stats.every((stat) => /\) T /.test(stat));
  });
}

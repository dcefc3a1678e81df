import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What handlers in other processes wrote down. */
export interface Ledger extends AsyncDisposable {
  /** Hand this to worker processes as their environment. */
  readonly environment: { readonly LEDGER: string };
  /** One entry an execution, in order. */
  entries(): Promise<{ readonly taskId: string; readonly attempt: number; readonly pid: number }[]>;
}

/** Opens an empty ledger. */
export async function openLedger(): Promise<Ledger> {
  const folder = await mkdtemp(join(tmpdir(), "taskwatch-ledger-"));
  const file = join(folder, "ledger");
  await writeFile(file, "");
  return {
    environment: { LEDGER: file },
    async entries() {
      const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
      return lines.map((line) => {
        const [taskId = "", attempt, pid] = line.split(" ");
        return { taskId, attempt: Number(attempt), pid: Number(pid) };
      });
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { errorFromStatusBytes } from "./grpc-js-client.ts";
import { Refused, type ScenarioClient, type StatusJson } from "./scenario-client.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../../", import.meta.url));

interface Reply {
  readonly messages?: Readonly<Record<string, unknown>>[];
  readonly error?: string;
  readonly code?: number;
}

/** grpcio in Python, which is gRPC's C core: the implementation that most languages stand on. */
export async function createPythonClient(
  python: string,
  grpcAddress: string,
): Promise<ScenarioClient & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "taskwatch-python-"));
  const image = join(folder, "image.binpb");
  // The schemas that ours import are not in the repository.
  await run(process.execPath, [join(root, "proto/dependencies.ts")]);
  await run(join(root, "node_modules/.bin/buf"), ["build", "--output", image], { cwd: root });
  const program = fileURLToPath(new URL("python_client.py", import.meta.url));
  const child = spawn(python, [program, grpcAddress, image], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

  const invoke = async (method: string, request: object): Promise<Readonly<Record<string, unknown>>[]> => {
    child.stdin.write(`${JSON.stringify({ method, request })}\n`);
    const line = await lines.next();
    if (line.done === true) throw new Error("the Python client has ended");
    const { messages, error = "", code = 2 } = JSON.parse(line.value) as Reply;
    if (messages !== undefined) return messages;
    const bytes = Buffer.from(error, "base64");
    throw new Refused(bytes.length === 0 ? { code, reason: "", fields: [] } : errorFromStatusBytes(bytes));
  };
  return {
    async call(method, request) {
      return (await invoke(method, request))[0] ?? {};
    },
    async watch(taskId) {
      const messages = await invoke("WatchStatus", { taskIds: [taskId] });
      return messages.flatMap(({ status }) =>
        status === undefined ? [] : [(status as { readonly status: StatusJson }).status],
      );
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      child.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

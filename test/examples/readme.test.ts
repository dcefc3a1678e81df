import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, test } from "vitest";

import { createTaskwatchClient } from "../../src/client/index.ts";
import { type ProjectProcess, startProjectProcess } from "../support/child-process.ts";
import { useNatsServer } from "../support/nats-server.ts";
import { type Service, startService } from "../support/service.ts";
import { systemProgram } from "../support/system-program.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
const readme = await readFile(join(root, "README.md"), "utf8");

const server = useNatsServer();
let service: Service;
let worker: ProjectProcess;

beforeAll(async () => {
  service = await startService(server.url);
  worker = startProjectProcess({
    file: "src/cli/main.ts",
    arguments: ["worker", "--queue", "demo", "--handlers", "src/dev/demo-handlers.ts"],
    environment: { TASKWATCH_NATS_URL: server.url },
  });
  await worker.line("worker is ready");
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});

/** The code block of a language that holds a text, pointed at the service of this test. */
function example(language: string, holding: string): string {
  const blocks = [...readme.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g"))].map(
    ([, code]) => code ?? "",
  );
  const found = blocks.find((code) => code.includes(holding));
  if (found === undefined) throw new Error(`README has no ${language} example with ${holding}`);
  return found
    .replaceAll("127.0.0.1:50051", service.grpcAddress)
    .replaceAll("http://127.0.0.1:8080", service.httpUrl)
    .replaceAll("nats://127.0.0.1:4222", server.url);
}

test("the first example ends SUCCEEDED, with the digests that sha256sum gives", async () => {
  const [, ...words] = example("sh", "taskwatch submit checksum").trim().replace("npx ", "").split(" ");
  const [submit = "", type = "", ...rest] = words;
  const payload = rest.slice(0, 2).join(" ").replaceAll("'", "");
  const program = join(root, "src/cli/main.ts");
  const options = ["--address", service.grpcAddress, submit, type, payload, ...rest.slice(2)];
  const { stdout } = await run(process.execPath, [program, ...options], { cwd: root });
  const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as {
    status: { status: { state: string; result: { json: Record<string, string> } } };
  };
  expect(last.status.status.state).toBe("TASK_STATE_SUCCEEDED");
  const digests = Object.entries(last.status.status.result.json);
  expect(digests.length).toBeGreaterThan(3);
  for (const [path, digest] of digests) {
    const { stdout: line } = await run("sha256sum", [join(root, path)]);
    expect(`${path} ${digest}`).toBe(`${path} ${line.slice(0, 64)}`);
  }
});

test("the examples for curl submit a task and wait for its end", async (context) => {
  const curl = systemProgram(context, "curl");
  const [submitting = "", waiting = ""] = example("sh", "curl -s").trim().split("\n\n");
  const shell = async (command: string) =>
    JSON.parse((await run("sh", ["-c", command.replaceAll(/^curl/gm, curl)], { cwd: root })).stdout) as {
      status: { taskId: string; state: string; result?: { json: Record<string, string> } };
    };
  const { status } = await shell(submitting);
  const ended = await shell(waiting.replace("<the taskId of the answer>", status.taskId));
  expect(ended.status.state).toBe("TASK_STATE_SUCCEEDED");
  const digest = createHash("sha256").update(readme).digest("hex");
  expect(ended.status.result?.json).toEqual({ "README.md": digest });
});

test("the example for TypeScript callers watches a task to its end", async () => {
  const lines = await runModule(example("ts", "createTaskwatchClient"), "client");
  expect(lines.at(-1)).toMatch(/^SUCCEEDED/);
});

test("the example of a worker runs the task that it is sent", async () => {
  const folder = await mkdtemp(join(tmpdir(), "taskwatch-example-"));
  try {
    const file = join(folder, "worker.ts");
    await writeFile(file, importsFromHere(example("ts", "createWorker"), "worker"));
    const child = execFile(process.execPath, [file]);
    await using client = createTaskwatchClient({ address: service.grpcAddress });
    const { taskId } = await client.submit({ queue: "mail", type: "send", payload: { to: "ann" } });
    expect(await client.wait(taskId, { timeoutMs: 20_000 })).toMatchObject({
      state: "SUCCEEDED",
      result: { sent: true },
    });
    const nobody = await client.submit({ queue: "mail", type: "send" });
    expect(await client.wait(nobody.taskId)).toMatchObject({ state: "FAILED", error: { code: "NO_ADDRESS" } });
    child.kill("SIGKILL");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

/** What an example imports by the package's name is the source here. */
function importsFromHere(code: string, face: "client" | "worker"): string {
  const url = pathToFileURL(join(root, `src/${face}/index.ts`)).href;
  return code.replaceAll(`"taskwatch/${face}"`, JSON.stringify(url));
}

async function runModule(code: string, face: "client" | "worker"): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "taskwatch-example-"));
  try {
    const file = join(folder, "example.ts");
    await writeFile(file, importsFromHere(code, face));
    const { stdout } = await run(process.execPath, [file], { timeout: 30_000 });
    return stdout.trim().split("\n");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { keepRunning } from "../../../src/dev/program.ts";
import { eventually } from "../../support/eventually.ts";

const untilTerminated = `process.on("SIGTERM", () => { console.log("drained"); process.exit(0); }); setInterval(() => {}, 1000);`;

test("a program that has come up is started again when it is killed", async () => {
  await using program = await start(`console.log(process.pid); ${untilTerminated}`);
  program.settle();
  const [first] = await program.lines(1);
  process.kill(Number(first), "SIGKILL");
  const [, second] = await program.lines(2);
  expect(second).not.toBe(first);
  expect(program.restarts).toEqual(["example ended (SIGKILL); starting it again in 0.5 s."]);
});

test("a program that ends before it has come up is not started again, and its last words are told", async () => {
  await using program = await start(`console.log("a setting is wrong"); process.exit(3);`);
  expect(await program.failed).toBe("example ended (exit code 3) before it was ready:\na setting is wrong");
  expect(program.restarts).toEqual([]);
});

test("stopping lets the program finish, and does not start it again", async () => {
  await using program = await start(`console.log("up"); ${untilTerminated}`);
  program.settle();
  await program.lines(1);
  await program.stop();
  expect(await program.lines(2)).toEqual(["up", "drained"]);
  expect(program.restarts).toEqual([]);
});

test("a program that does not end when asked to is killed", async () => {
  await using program = await start(
    `process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log("up");`,
    50,
  );
  program.settle();
  await program.lines(1);
  await program.stop();
  expect(program.restarts).toEqual([]);
});

async function start(script: string, stopTimeoutMs = 10_000) {
  const folder = await mkdtemp(join(tmpdir(), "taskwatch-program-"));
  const [path, logFile] = [join(folder, "example.mjs"), join(folder, "example.log")];
  await writeFile(path, script);
  const restarts: string[] = [];
  const program = keepRunning({
    name: "example",
    script: [path],
    environment: process.env,
    logFile,
    stopTimeoutMs,
    onRestart: (message) => restarts.push(message),
  });
  return {
    ...program,
    restarts,
    lines: (count: number) =>
      eventually(`${count} lines in the log`, async () => {
        const lines = (await readFile(logFile, "utf8")).split("\n").slice(0, -1);
        return lines.length >= count ? lines : undefined;
      }),
    async [Symbol.asyncDispose]() {
      await program.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

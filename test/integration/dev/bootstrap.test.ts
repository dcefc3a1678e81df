import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { expect, test } from "vitest";

const run = promisify(execFile);
const source = join(import.meta.dirname, "../../../src/dev/bootstrap.js");
const lock = {
  packages: { "": {}, "node_modules/a": { version: "1.0.0" }, "node_modules/b": { version: "1.0.0", optional: true } },
};

test("what is missing is installed once, and then the command runs", async () => {
  await using project = await projectWith(lock);
  expect(await project.start("one", "two")).toEqual(["installed", "started one two"]);
  expect(await project.start()).toEqual(["started"]);
});

test.each([
  ["another version is installed", { "node_modules/a": { version: "0.9.0" } }],
  ["a package is missing", {}],
  [
    "an optional package has another version",
    { "node_modules/a": { version: "1.0.0" }, "node_modules/b": { version: "2.0.0" } },
  ],
])("it is installed anew when %s than the lockfile says", async (_, packages) => {
  await using project = await projectWith(lock, { packages });
  expect(await project.start()).toEqual(["installed", "started"]);
});

test("nothing is installed when only packages for other platforms are missing", async () => {
  await using project = await projectWith(lock, { packages: { "node_modules/a": { version: "1.0.0" } } });
  expect(await project.start()).toEqual(["started"]);
});

test("two that start at once install once", async () => {
  await using project = await projectWith(lock);
  const lines = (await Promise.all([project.start(), project.start()])).flat();
  expect(lines.filter((line) => line === "installed")).toHaveLength(1);
  expect(lines.filter((line) => line === "started")).toHaveLength(2);
});

test("an installation that was killed on the way does not block the next one", async () => {
  await using project = await projectWith(lock);
  await mkdir(join(project.path, ".taskwatch"));
  // No process has the highest number there is.
  await writeFile(join(project.path, ".taskwatch/installing"), String(2 ** 31 - 1));
  expect(await project.start()).toEqual(["installed", "started"]);
});

test("the exit code of the command is passed on", async () => {
  await using project = await projectWith(lock);
  await writeFile(join(project.path, "src/dev/start.ts"), "process.exit(7);");
  await expect(project.start()).rejects.toMatchObject({ code: 7 });
});

test("a failed installation ends with its exit code and starts nothing", async () => {
  await using project = await projectWith(lock);
  await writeFile(join(project.path, "npm.js"), "process.exit(5);");
  await expect(project.start()).rejects.toMatchObject({ code: 5, stderr: expect.stringContaining("npm ci failed") });
});

/** A project with the script under test, an npm that only notes what it would do, and a command that says its name. */
async function projectWith(wanted: object, installed?: object) {
  const path = await mkdtemp(join(tmpdir(), "taskwatch-bootstrap-"));
  await mkdir(join(path, "src/dev"), { recursive: true });
  await mkdir(join(path, "node_modules/.bin"), { recursive: true });
  await symlink(process.execPath, join(path, "node_modules/.bin/node"));
  await copyFile(source, join(path, "src/dev/bootstrap.js"));
  await writeFile(join(path, "package.json"), `{"type": "module"}`);
  await writeFile(join(path, "package-lock.json"), JSON.stringify(wanted));
  if (installed !== undefined)
    await writeFile(join(path, "node_modules/.package-lock.json"), JSON.stringify(installed));
  await writeFile(join(path, "src/dev/start.ts"), `console.log(["started", ...process.argv.slice(2)].join(" "));`);
  await writeFile(
    join(path, "npm.js"),
    `import { copyFileSync } from "node:fs";
     if (process.argv[2] !== "ci") process.exit(9);
     copyFileSync("package-lock.json", "node_modules/.package-lock.json");
     console.log("installed");`,
  );
  return {
    path,
    async start(...rest: string[]): Promise<string[]> {
      const environment = { ...process.env, npm_execpath: join(path, "npm.js"), npm_node_execpath: process.execPath };
      const bootstrap = join(path, "src/dev/bootstrap.js");
      const { stdout } = await run(process.execPath, [bootstrap, "start", ...rest], { env: environment });
      return stdout.split("\n").filter((line) => line !== "" && !line.startsWith("Installing"));
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

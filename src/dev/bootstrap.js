/**
 * The first program of `npm start` and `npm test`: makes the installed packages match the lockfile, then goes on under the
 * Node that comes with them.
 *
 * Plain JavaScript and no packages, because it runs before there are any, on whatever Node the machine has.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const oldestNode = [22, 18];

const [command = "", ...commandArguments] = process.argv.slice(2);
await installWhatIsMissing();
const node = findNode();
offerCommand();
process.exitCode = await runAll(stepsOf(command, commandArguments));

/** @returns {string[][]} the command lines that a command consists of, to be run one after the other */
function stepsOf(name, rest) {
  if (name === "start") return [[node, join(root, "src/dev/start.ts"), ...rest]];
  const vitest = [node, join(root, "node_modules/vitest/vitest.mjs"), "run", ...rest];
  // Who names single tests wants those and nothing else.
  if (name === "test") return rest.length > 0 ? [vitest] : [vitest, [...npm(), "run", "--silent", "check"]];
  throw new Error(`bootstrap knows start and test, not "${name}"`);
}

/** Runs every step, also after one has failed: who is to mend things wants to know all that is broken. */
async function runAll(steps) {
  let worst = 0;
  for (const [program, ...rest] of steps) {
    const code = await run(program, rest);
    // The last line of the tests looks like success whatever came before them.
    if (code !== 0) console.error(`failed with exit code ${code}: ${[basename(program), ...rest].join(" ")}`);
    worst = Math.max(worst, code);
    if (code >= 128) return code;
  }
  return worst;
}

/** Runs a program in this one's place: same terminal, signals passed on, its exit code in the end. */
function run(program, rest) {
  const path = `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH ?? ""}`;
  const child = spawn(program, rest, { cwd: root, stdio: "inherit", env: { ...process.env, PATH: path } });
  // A terminal sends SIGINT to the whole group, and a second one means "at once": it must not arrive twice.
  const passOn = (signal) => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, passOn);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      for (const name of signals) process.off(name, passOn);
      resolve(code ?? (signal === "SIGINT" ? 130 : 143));
    });
  });
}

async function installWhatIsMissing() {
  if (isInstalled()) return;
  await aloneInHere(() => {
    // Another one may have done it while this one waited.
    if (isInstalled()) return;
    console.log("Installing packages …");
    const [program, ...rest] = [...npm(), "ci", "--loglevel=error", "--include=dev", "--include=optional"];
    const { status, error } = spawnSync(program, rest, { cwd: root, stdio: "inherit" });
    if (error) throw error;
    if (status !== 0) fail("npm ci failed; its message is above.", status ?? 1);
  });
}

/**
 * Whether node_modules holds what the lockfile names, as npm itself noted when it installed. Packages for other platforms
 * are marked optional there and may be missing; one that is present must be the right version.
 */
function isInstalled() {
  const wanted = packagesIn("package-lock.json");
  const present = packagesIn("node_modules/.package-lock.json");
  if (wanted === undefined) fail("package-lock.json is missing.", 1);
  if (present === undefined) return false;
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === "") return true;
    return present[path] === undefined ? optional === true : present[path].version === version;
  });
}

function packagesIn(file) {
  const text = readText(join(root, file));
  return text === undefined ? undefined : JSON.parse(text).packages;
}

function readText(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Lets `npx taskwatch` run the source, as it runs the built command where the package is installed. */
function offerCommand() {
  const path = join(root, "node_modules/.bin/taskwatch");
  const text = `#!/bin/sh\nexec "${node}" "${join(root, "src/cli/main.ts")}" "$@"\n`;
  if (readText(path) !== text) writeFileSync(path, text, { mode: 0o755 });
}

/** Two installations at once would spoil each other, and `npm start` beside `npm test` is what people type first. */
async function aloneInHere(work) {
  const marker = join(root, ".taskwatch/installing");
  mkdirSync(dirname(marker), { recursive: true });
  const deadline = Date.now() + 10 * 60_000;
  while (!claim(marker)) {
    if (Date.now() > deadline) fail(`Another installation has not ended; if there is none, remove ${marker}.`, 1);
    await sleep(200);
  }
  try {
    work();
  } finally {
    rmSync(marker, { force: true });
  }
}

function claim(marker) {
  try {
    writeFileSync(marker, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  if (!isAlive(Number(readFileSync(marker, "utf8")))) rmSync(marker, { force: true });
  return false;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** The npm that runs this, by the Node that it runs under; else the one on the PATH. */
function npm() {
  const { npm_execpath: script, npm_node_execpath: runner } = process.env;
  return script?.endsWith(".js") ? [runner ?? process.execPath, script] : ["npm"];
}

function findNode() {
  const installed = join(root, "node_modules/.bin/node");
  if (existsSync(installed)) return installed;
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [oldestMajor, oldestMinor] = oldestNode;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return process.execPath;
  return fail(
    `Node ${oldestNode.join(".")} or newer is needed. No package brings one for ${process.platform}-${process.arch},` +
      ` and this is ${process.versions.node}.`,
    1,
  );
}

function fail(message, code) {
  console.error(message);
  process.exit(code);
}

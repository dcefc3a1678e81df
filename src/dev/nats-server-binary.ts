import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

import { unpackDebianPackage } from "./debian-package.ts";
import { isAtLeast, oldestNatsServer, versionFrom } from "./server-version.ts";

const run = promisify(execFile);

/** A nats-server that runs on this machine. */
export interface NatsServerBinary {
  readonly path: string;
  /** Three numbers, such as `2.15.1`. */
  readonly version: string;
}

/** No nats-server that is new enough could be found or brought; the message says how to get one. */
export class NatsServerMissing extends Error {
  override readonly name = "NatsServerMissing";
}

/**
 * A nats-server that is new enough: the one that `NATS_SERVER_PATH` names, else one on the `PATH`, else one from the user's
 * cache, else one that is downloaded into that cache (Debian's, by apt, signature-checked and without root).
 *
 * @throws {NatsServerMissing} where none of these gives one, or `NATS_SERVER_PATH` names one that does not run or is too old.
 */
export async function findNatsServer(environment: NodeJS.ProcessEnv = process.env): Promise<NatsServerBinary> {
  const named = environment["NATS_SERVER_PATH"];
  if (named !== undefined && named !== "") return await acceptable(named, "NATS_SERVER_PATH names");
  return (await onPath(environment)) ?? (await inCache(environment)) ?? (await download(environment));
}

async function acceptable(path: string, source: string): Promise<NatsServerBinary> {
  const version = await versionOf(path);
  if (version === undefined) throw new NatsServerMissing(`${source} ${path}, which is no nats-server that runs`);
  if (!isAtLeast(version, oldestNatsServer)) {
    throw new NatsServerMissing(`${source} nats-server ${version}, but ${oldestNatsServer} or newer is needed`);
  }
  return { path, version };
}

/** Debian installs the server where only root's PATH leads. Without a PATH nothing is looked for. */
async function onPath(environment: NodeJS.ProcessEnv): Promise<NatsServerBinary | undefined> {
  const path = environment["PATH"];
  if (path === undefined) return undefined;
  const folders = [...path.split(delimiter), "/usr/local/sbin", "/usr/sbin"];
  return firstNewEnough(folders.filter((folder) => folder !== "").map((folder) => join(folder, "nats-server")));
}

async function inCache(environment: NodeJS.ProcessEnv): Promise<NatsServerBinary | undefined> {
  const cache = cacheFolder(environment);
  const versions = (await readdir(cache).catch(() => [])).filter((name) => versionFrom(name) === name);
  return firstNewEnough(versions.map((version) => join(cache, version, debianPath)));
}

/** Several processes may do this at once: each unpacks on its own, and the first one's tree is what all of them use. */
async function download(environment: NodeJS.ProcessEnv): Promise<NatsServerBinary> {
  const cache = cacheFolder(environment);
  const unpacked = join(cache, `unpacked-${randomUUID()}`);
  try {
    await unpackDebianPackage({ name: "nats-server", suite: "sid", target: unpacked });
    const version = await versionOf(join(unpacked, debianPath));
    if (version === undefined) throw new NatsServerMissing("the nats-server of Debian's sid does not run here");
    const tree = join(cache, version);
    const path = join(tree, debianPath);
    if ((await versionOf(path)) === undefined) {
      await rm(tree, { recursive: true, force: true });
      await rename(unpacked, tree);
    }
    return await acceptable(path, "Debian's sid has");
  } catch (cause) {
    throw new NatsServerMissing(howToGetOne(cause), { cause });
  } finally {
    // Gone already, unless something failed on the way.
    await rm(unpacked, { recursive: true, force: true }).catch(() => undefined);
  }
}

const debianPath = join("usr", "sbin", "nats-server");

function cacheFolder(environment: NodeJS.ProcessEnv): string {
  const configured = environment["XDG_CACHE_HOME"];
  const base = configured !== undefined && configured !== "" ? configured : join(homedir(), ".cache");
  return join(base, "taskwatch", "nats-server");
}

async function firstNewEnough(paths: readonly string[]): Promise<NatsServerBinary | undefined> {
  for (const path of paths) {
    const version = await versionOf(path);
    if (version !== undefined && isAtLeast(version, oldestNatsServer)) return { path, version };
  }
  return undefined;
}

async function versionOf(path: string): Promise<string | undefined> {
  const result = await run(path, ["--version"], { timeout: 10_000 }).catch(() => undefined);
  return result === undefined ? undefined : versionFrom(result.stdout);
}

function howToGetOne(cause: unknown): string {
  return [
    `nats-server ${oldestNatsServer} or newer is needed; none was found, and none could be downloaded`,
    `(${cause instanceof Error ? cause.message : String(cause)}).`,
    "Install one (https://docs.nats.io/running-a-nats-service/introduction/installation) so that it is on the PATH,",
    "name its file in NATS_SERVER_PATH, or name a running server in NATS_URL.",
  ].join("\n");
}

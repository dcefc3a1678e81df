import { type Stats, createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

import { FatalError, RetryableError } from "../worker/index.ts";

/** A regular file that a demo task reads. */
export interface DemoFile {
  /** As it was found from the path of the task, so that it can be typed as it stands. */
  readonly path: string;
  /** In bytes, when it was found. */
  readonly size: number;
}

/** How much a demo task may be asked to read. */
export const limits = {
  /** So that one result names them all. */
  files: 1_000,
  /** Of folders and of everything in them. */
  entries: 20_000,
};

/**
 * The file at a path, or every file below it, in the order of their names. Links below it are not followed.
 *
 * @throws {FatalError} `PATH_NOT_FOUND`, `PATH_NOT_READABLE`, `TOO_MANY_FILES`.
 */
export async function filesBelow(path: string, signal: AbortSignal): Promise<DemoFile[]> {
  const top = await readable(path, () => stat(path));
  if (!top.isDirectory()) return top.isFile() ? [{ path, size: top.size }] : [];

  const files: DemoFile[] = [];
  const folders = [path];
  let entriesSeen = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    const current = folder;
    const entries = await readable(current, () => readdir(current, { withFileTypes: true }));
    entriesSeen += entries.length;
    for (const entry of entries) {
      const found = join(current, entry.name);
      if (entry.isDirectory()) folders.push(found);
      if (entry.isFile()) files.push({ path: found, size: (await readable(found, () => stat(found))).size });
    }
    if (files.length > limits.files || entriesSeen > limits.entries) {
      throw new FatalError("TOO_MANY_FILES", `there are more than ${limits.files} files below ${path}`);
    }
  }
  return files.sort((one, other) => (one.path < other.path ? -1 : 1));
}

/** Reads a file in chunks. Throws as {@link filesBelow} does, and the reason of the signal when that is aborted. */
export async function* chunksOf(file: DemoFile, signal: AbortSignal): AsyncGenerator<Buffer> {
  const stream = createReadStream(file.path, { highWaterMark: 256 * 1024, signal });
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    signal.throwIfAborted();
    throw demoError(error, file.path);
  }
}

async function readable<T extends Stats | object>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw demoError(error, path);
  }
}

/** What is wrong with the path stays wrong; anything else may pass. */
function demoError(error: unknown, path: string): Error {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return new FatalError("PATH_NOT_FOUND", `there is nothing at ${path}`, { cause: error });
    case "EACCES":
    case "EPERM":
      return new FatalError("PATH_NOT_READABLE", `${path} may not be read`, { cause: error });
    case "ELOOP":
    case "ENAMETOOLONG":
    case "ERR_INVALID_ARG_VALUE":
      return new FatalError("INVALID_PAYLOAD", `${JSON.stringify(path.slice(0, 100))} is no path`, { cause: error });
    default:
      return new RetryableError("READ_FAILED", `${path} could not be read`, { cause: error });
  }
}

/**
 * What the demo worker can do: real work on real files, and two handlers that show how tasks behave.
 *
 * They read whatever the process may read. The demo listens on loopback, for whoever started it.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { FatalError, type Handler, RetryableError, type TaskContext } from "../worker/index.ts";
import { type DemoFile, chunksOf, filesBelow } from "./demo-files.ts";
import { countWords } from "./demo-words.ts";

const longestSleepMs = 3_600_000;
const usualTop = 20;
const mostTop = 1_000;

/** `{"path"}`: the SHA-256 of the file, or of every file below the folder. Gives path → digest in hexadecimal. */
const checksum: Handler = async (context) => {
  const files = await filesBelow(pathIn(context), context.signal);
  const progress = fileProgress(context, files);
  const digests: Record<string, string> = {};
  for (const file of files) {
    const hash = createHash("sha256");
    for await (const chunk of chunksOf(file, context.signal)) {
      hash.update(chunk);
      progress.read(chunk.length);
    }
    digests[file.path] = hash.digest("hex");
    progress.finished();
  }
  return digests;
};

/**
 * `{"path", "top"?}`: counts the words of the text files at or below a path, regardless of case. Gives how many files and
 * words there are, how many different ones, and the `top` (20) most frequent.
 */
const wordcount: Handler = async (context) => {
  const top = numberIn(context, "top", { usual: usualTop, least: 1, most: mostTop });
  const files = await filesBelow(pathIn(context), context.signal);
  const progress = fileProgress(context, files);
  const counts = new Map<string, number>();
  let textFiles = 0;
  for (const file of files) {
    const isText = await countWords(measured(chunksOf(file, context.signal), progress), counts);
    if (isText) textFiles += 1;
    progress.finished();
  }
  const ranked = [...counts].sort(([word, count], [other, otherCount]) =>
    count === otherCount ? (word < other ? -1 : 1) : otherCount - count,
  );
  return {
    files: textFiles,
    words: ranked.reduce((sum, [, count]) => sum + count, 0),
    distinct: ranked.length,
    top: ranked.slice(0, top).map(([word, count]) => ({ word, count })),
  };
};

/** Fails twice and then succeeds, whatever the payload. */
const flaky: Handler = ({ attempt }) => {
  if (attempt <= 2) throw new RetryableError("FLAKY", `attempt ${attempt} fails, as it should`);
  return { attempts: attempt };
};

/** `{"ms"}`: waits that long, at most an hour, and says how far it is. */
const sleepFor: Handler = async (context) => {
  const ms = numberIn(context, "ms", { least: 0, most: longestSleepMs });
  const startedAt = performance.now();
  const elapsedMs = (): number => Math.min(ms, Math.round(performance.now() - startedAt));
  while (elapsedMs() < ms) {
    context.progress({ done: elapsedMs(), total: ms, unit: "ms" });
    await sleep(Math.min(200, ms - elapsedMs()), undefined, { signal: context.signal }).catch(() => undefined);
    context.signal.throwIfAborted();
  }
  context.progress({ done: ms, total: ms, unit: "ms" });
  return { ms };
};

/** The handlers of the queue `demo`, by task type; `taskwatch worker --handlers` takes this file as it is. */
export const handlers: Readonly<Record<string, Handler>> = { checksum, wordcount, flaky, sleep: sleepFor };

interface FileProgress {
  read(bytes: number): void;
  finished(): void;
}

function fileProgress(context: TaskContext, files: readonly DemoFile[]): FileProgress {
  // A file that grows while it is read counts as it was found.
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let bytes = 0;
  let finished = 0;
  const report = (): void =>
    context.progress({
      done: Math.min(bytes, total),
      total,
      unit: "bytes",
      message: `${finished} of ${files.length} files`,
    });
  report();
  return {
    read(length) {
      bytes += length;
      report();
    },
    finished() {
      finished += 1;
      report();
    },
  };
}

async function* measured(chunks: AsyncIterable<Buffer>, progress: FileProgress): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    progress.read(chunk.length);
    yield chunk;
  }
}

function pathIn(context: TaskContext): string {
  const path = fieldsOf(context)["path"];
  if (typeof path === "string" && path !== "") return path;
  throw new FatalError("INVALID_PAYLOAD", `the payload must be {"path": "…"}`);
}

function numberIn(
  context: TaskContext,
  name: string,
  { usual, least, most }: { usual?: number; least: number; most: number },
): number {
  const value = fieldsOf(context)[name] ?? usual;
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new FatalError("INVALID_PAYLOAD", `the payload must have "${name}", a whole number from ${least} to ${most}`);
}

function fieldsOf({ payload }: TaskContext): Readonly<Record<string, unknown>> {
  const isObject = typeof payload === "object" && payload !== null && !Array.isArray(payload);
  return isObject && !(payload instanceof Uint8Array) ? payload : {};
}

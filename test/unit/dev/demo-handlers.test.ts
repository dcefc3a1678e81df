import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type TestContext, describe, expect, test } from "vitest";

import { limits } from "../../../src/dev/demo-files.ts";
import { handlers } from "../../../src/dev/demo-handlers.ts";
import type { ProgressUpdate, TaskContext } from "../../../src/worker/index.ts";

describe("checksum", () => {
  test("gives the digest of one file under the path that was asked for", async () => {
    await using tree = await temporaryTree({ "a.txt": "hello" });
    const path = join(tree.path, "a.txt");
    expect((await run("checksum", { path })).result).toEqual({ [path]: sha256("hello") });
  });

  test("gives the digest of every file below a folder, in the order of their paths", async () => {
    await using tree = await temporaryTree({ "b/c.bin": "two", "a.txt": "one", "b/empty": "" });
    const { result } = await run("checksum", { path: tree.path });
    expect(Object.entries(result as object)).toEqual([
      [join(tree.path, "a.txt"), sha256("one")],
      [join(tree.path, "b/c.bin"), sha256("two")],
      [join(tree.path, "b/empty"), sha256("")],
    ]);
  });

  test("reports bytes and files, from nothing to all of them, and never goes back", async () => {
    const large = "x".repeat(600_000);
    await using tree = await temporaryTree({ large, small: "y" });
    const { progress } = await run("checksum", { path: tree.path });
    expect(progress[0]).toEqual({ done: 0, total: 600_001, unit: "bytes", message: "0 of 2 files" });
    expect(progress.at(-1)).toEqual({ done: 600_001, total: 600_001, unit: "bytes", message: "2 of 2 files" });
    const done = progress.map((update) => update.done ?? 0);
    expect(done).toEqual(done.toSorted((one, other) => one - other));
    expect(new Set(done).size).toBeGreaterThan(3);
  });

  test("does not follow links below the path, so that it ends and stays inside", async () => {
    await using tree = await temporaryTree({ "a.txt": "one" });
    await symlink(tree.path, join(tree.path, "loop"));
    await symlink("/etc/hostname", join(tree.path, "elsewhere"));
    expect((await run("checksum", { path: tree.path })).result).toEqual({ [join(tree.path, "a.txt")]: sha256("one") });
  });

  test("refuses a tree whose result would have no bounds", async () => {
    const files = Array.from({ length: limits.files + 1 }, (_, index) => [`${index}`, ""]);
    await using tree = await temporaryTree(Object.fromEntries(files) as Record<string, string>);
    await expect(run("checksum", { path: tree.path })).rejects.toMatchObject({
      name: "FatalError",
      code: "TOO_MANY_FILES",
    });
  });

  test("stops in the middle of a file when its attempt is aborted", async () => {
    await using tree = await temporaryTree({ large: "x".repeat(2_000_000) });
    const abort = new AbortController();
    const reason = new Error("enough");
    const running = run(
      "checksum",
      { path: tree.path },
      { abort, onProgress: ({ done }) => done && abort.abort(reason) },
    );
    await expect(running).rejects.toBe(reason);
  });

  test("says that a file may not be read", async (context: TestContext) => {
    if (process.getuid?.() === 0) process.seteuid?.(65_534);
    context.onTestFinished(() => process.seteuid?.(process.getuid?.() ?? 0));
    await using tree = await temporaryTree({ secret: "s" });
    await chmod(join(tree.path, "secret"), 0);
    await expect(run("checksum", { path: tree.path })).rejects.toMatchObject({
      name: "FatalError",
      code: "PATH_NOT_READABLE",
    });
  });
});

describe("wordcount", () => {
  test("counts the words of all text files, whatever their case, the most frequent first", async () => {
    await using tree = await temporaryTree({
      "a.md": "The cat and the dog.",
      "b/c.txt": "THE END; don't – Ünïcödé 42",
    });
    expect((await run("wordcount", { path: tree.path, top: 2 })).result).toEqual({
      files: 2,
      words: 10,
      distinct: 8,
      top: [
        { word: "the", count: 3 },
        { word: "42", count: 1 },
      ],
    });
  });

  test("leaves out what is no text", async () => {
    await using tree = await temporaryTree({ "a.txt": "one two", "b.bin": "three\0four" });
    expect((await run("wordcount", { path: tree.path })).result).toMatchObject({ files: 1, words: 2 });
  });

  test("a word that lies across two chunks is one word", async () => {
    // Chunks are 256 KiB: the last word of the first chunk goes on in the second, and so does a character in it.
    await using tree = await temporaryTree({ "a.txt": `${"a ".repeat(131_070)}xyzü${"b".repeat(20)} c` });
    const { result } = await run("wordcount", { path: tree.path });
    expect(result).toMatchObject({ words: 131_072, distinct: 3, top: [{ word: "a", count: 131_070 }, {}, {}] });
    expect((result as { top: { word: string }[] }).top.map(({ word }) => word)).toContain(`xyzü${"b".repeat(20)}`);
  });

  test.each([0, 1.5, 1001, "20"])("refuses %j as the number of words to list", async (top) => {
    await using tree = await temporaryTree({ "a.txt": "one" });
    await expect(run("wordcount", { path: tree.path, top })).rejects.toMatchObject({
      name: "FatalError",
      code: "INVALID_PAYLOAD",
    });
  });
});

describe.each(["checksum", "wordcount"])("%s and a bad path", (type) => {
  test.each([undefined, null, "a path", [["a"]], {}, { path: "" }, { path: 3 }, new Uint8Array([1])])(
    "the payload %j is refused for good",
    async (payload) => {
      await expect(run(type, payload)).rejects.toMatchObject({ name: "FatalError", code: "INVALID_PAYLOAD" });
    },
  );

  test("a path that leads nowhere is refused for good", async () => {
    await using tree = await temporaryTree({ "a.txt": "" });
    for (const path of [join(tree.path, "nowhere"), join(tree.path, "a.txt/below")]) {
      await expect(run(type, { path })).rejects.toMatchObject({ name: "FatalError", code: "PATH_NOT_FOUND" });
    }
    await expect(run(type, { path: "a\0b" })).rejects.toMatchObject({ name: "FatalError", code: "INVALID_PAYLOAD" });
  });
});

describe("flaky", () => {
  test("fails twice in a way that may pass, and succeeds at the third attempt", async () => {
    for (const attempt of [1, 2]) {
      await expect(run("flaky", undefined, { attempt })).rejects.toMatchObject({
        name: "RetryableError",
        code: "FLAKY",
      });
    }
    expect((await run("flaky", undefined, { attempt: 3 })).result).toEqual({ attempts: 3 });
  });
});

describe("sleep", () => {
  test("waits as long as it was told and reports how far it is", async () => {
    const startedAt = performance.now();
    const { result, progress } = await run("sleep", { ms: 250 });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(249);
    expect(result).toEqual({ ms: 250 });
    expect(progress[0]).toMatchObject({ total: 250, unit: "ms" });
    expect(progress.at(-1)).toEqual({ done: 250, total: 250, unit: "ms" });
  });

  test("wakes up when its attempt is aborted", async () => {
    const abort = new AbortController();
    const reason = new Error("enough");
    const running = run("sleep", { ms: 3_600_000 }, { abort, onProgress: () => abort.abort(reason) });
    await expect(running).rejects.toBe(reason);
  });

  test.each([{}, { ms: -1 }, { ms: 3_600_001 }, { ms: 0.5 }, { ms: "5" }])("refuses %j", async (payload) => {
    await expect(run("sleep", payload)).rejects.toMatchObject({ name: "FatalError", code: "INVALID_PAYLOAD" });
  });
});

interface RunOptions {
  readonly attempt?: number;
  readonly abort?: AbortController;
  readonly onProgress?: (update: ProgressUpdate) => unknown;
}

async function run(
  type: string,
  payload: unknown,
  { attempt = 1, abort = new AbortController(), onProgress }: RunOptions = {},
): Promise<{ result: unknown; progress: ProgressUpdate[] }> {
  const progress: ProgressUpdate[] = [];
  const context: TaskContext = {
    taskId: "demo_00000000000000000000000000",
    queue: "demo",
    type,
    payload: payload as TaskContext["payload"],
    contentType: "",
    attempt,
    maxAttempts: 5,
    labels: {},
    deadline: undefined,
    traceparent: undefined,
    signal: abort.signal,
    progress(update) {
      progress.push(update);
      onProgress?.(update);
    },
  };
  return { result: await handlers[type]!(context), progress };
}

async function temporaryTree(files: Readonly<Record<string, string>>): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "taskwatch-demo-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(path, name, ".."), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

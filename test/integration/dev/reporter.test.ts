import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { expect, test } from "vitest";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../../..");

const passes = `import { test } from "vitest"; test("passes", () => {});`;
const skips = `import { test } from "vitest"; test("asks too much", (context) => context.skip("no browser here"));`;
const fails = `import { test } from "vitest"; test("fails", () => { throw new Error("as it should"); });`;
const breaks = `import "./nowhere.ts";`;

test("the last line counts what passed and what failed, files that cannot be loaded among it", async () => {
  const { lines, code } = await report({ passes, fails, breaks });
  expect(lines.at(-1)).toBe("1 passed, 2 failed");
  expect(code).toBe(1);
});

test("a skipped test is named with its reason, and is no failure on a machine of one's own", async () => {
  const { lines, code } = await report({ passes, skips });
  expect(lines.slice(-2)).toEqual([
    "skipped: skips.test.ts > asks too much (no browser here)",
    "1 passed, 0 failed, 1 skipped",
  ]);
  expect(code).toBe(0);
});

test("a skipped test fails a run on CI", async () => {
  const { lines, code } = await report({ passes, skips }, { CI: "true" });
  expect(lines.at(-1)).toBe("1 passed, 0 failed, 1 skipped");
  expect(code).toBe(1);
});

/** Runs test files of their own under the reporter. They lie where they can import vitest. */
async function report(files: Readonly<Record<string, string>>, environment: Readonly<Record<string, string>> = {}) {
  const cache = join(root, "node_modules/.cache");
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "reporter-"));
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, `${name}.test.ts`), text);
    await writeFile(join(folder, "vitest.config.ts"), "export default {};");
    const vitest = join(root, "node_modules/vitest/vitest.mjs");
    const reporter = join(root, "test/support/reporter.ts");
    const { stdout, code } = await run(process.execPath, [vitest, "run", "--reporter", reporter], {
      cwd: folder,
      env: { ...process.env, CI: "", VITEST: "", ...environment },
    }).then(
      (success) => ({ stdout: success.stdout, code: 0 }),
      (error: { stdout: string; code: number }) => error,
    );
    return { lines: stdout.trimEnd().split("\n"), code };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

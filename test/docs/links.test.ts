import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const inDocs = (await readdir(join(root, "docs"))).map((name) => `docs/${name}`);
const documents = ["README.md", "CONTRIBUTING.md", "deploy/README.md", ...inDocs];

test.each(documents)("every file that %s points at is there", async (document) => {
  const text = await readFile(join(root, document), "utf8");
  const targets = [...text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(([, target]) => target ?? "");
  const missing = targets.filter((target) => !existsSync(join(root, dirname(document), target)));
  expect(missing).toEqual([]);
});

test("each promise of the guarantees is in the README, with a test that holds it", async () => {
  const guarantees = await readFile(join(root, "docs/guarantees.md"), "utf8");
  const readme = await readFile(join(root, "README.md"), "utf8");
  const promised = [...guarantees.matchAll(/^\*\*(P\d), /gm)].map(([, name]) => name);
  const held = [...readme.matchAll(/^\| \*\*(P\d)\*\* .*\]\(test\/[^)]*\)/gm)].map(([, name]) => name);
  expect(promised).toHaveLength(9);
  expect(held).toEqual(promised);
});

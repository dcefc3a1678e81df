/**
 * `npm run proto:breaking`: whether the schema breaks whoever uses the one on the branch `main`.
 *
 * Works offline: that branch's schema is taken from git, and what it imports from where ours does.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const imported = "node_modules/.cache/proto";

process.chdir(root);
const base = ["main", "origin/main"].find((branch) => hasProto(branch));
if (base === undefined) {
  console.log("Nothing to compare with: there is no branch main here that has a schema.");
} else {
  process.exitCode = compareWith(base);
}

function hasProto(branch: string): boolean {
  return spawnSync("git", ["cat-file", "-e", `${branch}:proto/taskwatch`], { stdio: "ignore" }).status === 0;
}

function compareWith(branch: string): number {
  const before = mkdtempSync(join(tmpdir(), "taskwatch-proto-"));
  try {
    const archive = execFileSync("git", ["archive", branch, "buf.yaml", "proto"], { maxBuffer: 64 * 1024 * 1024 });
    execFileSync("tar", ["-x", "-C", before], { input: archive });
    mkdirSync(join(before, imported, ".."), { recursive: true });
    symlinkSync(join(root, imported), join(before, imported));
    const { status } = spawnSync("buf", ["breaking", "--against", before], { stdio: "inherit" });
    if (status === 0) console.log(`Nothing breaks users of the schema on ${branch}.`);
    return status ?? 1;
  } finally {
    rmSync(before, { recursive: true, force: true });
  }
}

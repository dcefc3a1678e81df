import { createHash } from "node:crypto";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ApiKeysError, parseApiKeys } from "../../../src/rpc/access/api-keys.ts";
import { createOpenPrincipals, loadPrincipals, type Principals } from "../../../src/rpc/access/principals.ts";
import { eventually } from "../../support/eventually.ts";
import { createRecordingLogger } from "../../support/recording-logger.ts";

const sha256 = (key: string) => createHash("sha256").update(key).digest("hex");
const entry = (key: string, changes: object = {}) => ({
  name: "checkout",
  namespace: "shop",
  roles: ["submit", "read"],
  sha256: sha256(key),
  ...changes,
});
const fileOf = (...keys: object[]) => JSON.stringify({ keys });
const problemsOf = (text: string) => {
  try {
    parseApiKeys("keys.json", text);
  } catch (error) {
    if (error instanceof ApiKeysError) return error.problems;
    throw error;
  }
  throw new Error("expected a problem");
};

describe("a file of API keys", () => {
  test("is read", () => {
    const text = fileOf(entry("a", { expires: "2030-01-31T12:00:00+01:00" }), entry("b", { roles: ["operate"] }));
    expect(parseApiKeys("keys.json", text)).toEqual([
      {
        name: "checkout",
        namespace: "shop",
        roles: ["submit", "read"],
        sha256: sha256("a"),
        expiresMs: Date.UTC(2030, 0, 31, 11),
      },
      { name: "checkout", namespace: "shop", roles: ["operate"], sha256: sha256("b"), expiresMs: undefined },
    ]);
  });

  test("is refused with all that is wrong with it at once", () => {
    const text = JSON.stringify({
      keys: [
        entry("a", { name: "no spaces", sha256: "ABC", expires: "tomorrow" }),
        entry("b", { roles: ["submit", "root"], scope: 1 }),
        entry("c", { roles: [], namespace: undefined }),
        entry("c"),
        7,
      ],
      version: 1,
    });
    expect(problemsOf(text).map((problem) => problem.split(":")[0])).toEqual([
      "version",
      "keys[0].name",
      "keys[0].sha256",
      "keys[0].expires",
      "keys[1].scope",
      "keys[1].roles[1]",
      "keys[2].namespace",
      "keys[2].roles",
      "keys[4]",
      "keys[4].name",
      "keys[4].namespace",
      "keys[4].roles",
      "keys[4].sha256",
      "keys[3].sha256",
    ]);
  });

  test.each(["", "{", "[]", "null", `{"keys": {}}`])("that reads %j is refused", (text) => {
    expect(problemsOf(text)).toHaveLength(1);
  });
});

describe("principals", () => {
  let folder: string;
  let file: string;
  let principals: Principals | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "taskwatch-keys-"));
    file = join(folder, "keys.json");
  });
  afterEach(async () => {
    principals?.close();
    await rm(folder, { recursive: true });
  });

  const logger = createRecordingLogger();
  const load = async (text: string) => {
    await writeFile(file, text);
    principals = await loadPrincipals({ file, pollIntervalMs: 10, logger });
    return principals;
  };
  const replace = async (text: string) => {
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
  };
  const tryKey = (from: Principals, authorization: string | undefined, nowMs = 0) => {
    try {
      return from.authenticate(authorization, nowMs);
    } catch (error) {
      return (error as { reason?: unknown }).reason;
    }
  };

  test("are known by their keys, and by nothing else", async () => {
    const loaded = await load(fileOf(entry("secret")));
    const principal = tryKey(loaded, "Bearer secret");
    expect(principal).toMatchObject({ name: "checkout", namespace: "shop", roles: new Set(["submit", "read"]) });
    expect(tryKey(loaded, "bearer secret")).toBe(principal);
    expect(tryKey(loaded, undefined)).toBe("CREDENTIAL_MISSING");
    for (const wrong of [
      "Bearer Secret",
      "Bearer secret2",
      "secret",
      "Basic secret",
      "Bearer ",
      "Bearer a b",
      `Bearer ${sha256("secret")}`,
      `Bearer ${"x".repeat(1_025)}`,
    ]) {
      expect([wrong, tryKey(loaded, wrong)]).toEqual([wrong, "CREDENTIAL_INVALID"]);
    }
  });

  test("are not known after their keys expire", async () => {
    const loaded = await load(fileOf(entry("secret", { expires: "2030-01-01T00:00:00Z" })));
    const expiresMs = Date.UTC(2030, 0, 1);
    const principal = loaded.authenticate("Bearer secret", expiresMs - 1);
    expect(loaded.isCurrent(principal, expiresMs - 1)).toBe(true);
    expect(tryKey(loaded, "Bearer secret", expiresMs)).toBe("CREDENTIAL_INVALID");
    expect(loaded.isCurrent(principal, expiresMs)).toBe(false);
  });

  test("follow the file, and who is in it still stays the same", async () => {
    const loaded = await load(fileOf(entry("old"), entry("kept", { name: "kept" })));
    const old = loaded.authenticate("Bearer old", 0);
    const kept = loaded.authenticate("Bearer kept", 0);
    await replace(fileOf(entry("new"), entry("kept", { name: "kept" })));
    await eventually("the new key", () => loaded.authenticate("Bearer new", 0));
    expect(tryKey(loaded, "Bearer old")).toBe("CREDENTIAL_INVALID");
    expect(loaded.isCurrent(old, 0)).toBe(false);
    expect(loaded.authenticate("Bearer kept", 0)).toBe(kept);
    expect(loaded.isCurrent(kept, 0)).toBe(true);
  });

  test("lose what changed about them", async () => {
    const loaded = await load(fileOf(entry("a")));
    const before = loaded.authenticate("Bearer a", 0);
    await replace(fileOf(entry("a", { roles: ["read"] })));
    await eventually("the change", () => !loaded.isCurrent(before, 0));
    expect(loaded.authenticate("Bearer a", 0).roles).toEqual(new Set(["read"]));
  });

  test("stay when the file breaks or goes, which is logged once, and follow it when it is good again", async () => {
    const loaded = await load(fileOf(entry("a")));
    const complaints = () => logger.lines.filter(({ level }) => level === "error").length;
    const before = complaints();
    await replace("{");
    await eventually("the complaint", () => complaints() === before + 1);
    await rm(file);
    await eventually("the second complaint", () => complaints() === before + 2);
    expect(tryKey(loaded, "Bearer a")).toMatchObject({ name: "checkout" });
    await replace(fileOf(entry("b")));
    await eventually("the new key", () => loaded.authenticate("Bearer b", 0));
    expect(complaints()).toBe(before + 2);
  });

  test("cannot be loaded from a file that is not there", async () => {
    await expect(loadPrincipals({ file, logger })).rejects.toBeInstanceOf(ApiKeysError);
  });

  test("without a file are all the same one, who may do everything", () => {
    const open = createOpenPrincipals();
    expect(open.authenticated).toBe(false);
    expect(open.authenticate(undefined, 0)).toMatchObject({
      name: "anonymous",
      namespace: "default",
      roles: new Set(["submit", "read", "operate", "worker"]),
    });
  });
});

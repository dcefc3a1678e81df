import { type Role, roles } from "../methods.ts";

/** One key, as the file has it. The key itself is nowhere. */
export interface ApiKey {
  readonly name: string;
  readonly namespace: string;
  readonly roles: readonly Role[];
  /** Of the key, in lower-case hexadecimal. */
  readonly sha256: string;
  /** In ms since 1970; undefined means never. */
  readonly expiresMs: number | undefined;
}

/** A file of API keys that cannot be used. */
export class ApiKeysError extends Error {
  override readonly name = "ApiKeysError";
  /** Everything that is wrong with it. */
  readonly problems: readonly string[];

  constructor(file: string, problems: readonly string[], cause?: unknown) {
    super(`API keys in ${file}: ${problems.join("; ")}`, cause === undefined ? undefined : { cause });
    this.problems = problems;
  }
}

/**
 * Reads `{"keys": [{"name", "namespace", "roles", "sha256", "expires"?}]}`. One name may have several keys, so that a key can
 * be replaced without a gap. Throws `ApiKeysError` with all problems at once.
 */
export function parseApiKeys(file: string, text: string): ApiKey[] {
  const problems: string[] = [];
  const keys = checkFile(parseJson(file, text), problems);
  const seen = new Map<string, number>();
  for (const [index, { sha256 }] of keys.entries()) {
    if (sha256 === "") continue;
    const other = seen.get(sha256);
    if (other !== undefined) problems.push(`keys[${index}].sha256: same as keys[${other}].sha256`);
    else seen.set(sha256, index);
  }
  if (problems.length > 0) throw new ApiKeysError(file, problems);
  return keys;
}

const maxKeys = 10_000;
const namePattern = /^[A-Za-z0-9_-]{1,64}$/;
const sha256Pattern = /^[0-9a-f]{64}$/;
const timePattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;
const fields = ["name", "namespace", "roles", "sha256", "expires"];

type Fields = Readonly<Record<string, unknown>>;

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiKeysError(file, ["not JSON"], error);
  }
}

function checkFile(value: unknown, problems: string[]): ApiKey[] {
  if (!isObject(value) || !Array.isArray(value["keys"])) {
    problems.push(`expected {"keys": [...]}`);
    return [];
  }
  for (const name of Object.keys(value)) if (name !== "keys") problems.push(`${name}: unknown`);
  const entries: unknown[] = value["keys"];
  if (entries.length > maxKeys) problems.push(`keys: more than ${maxKeys}`);
  return entries.slice(0, maxKeys).map((entry, index) => checkKey(entry, `keys[${index}]`, problems));
}

function checkKey(value: unknown, path: string, problems: string[]): ApiKey {
  const entry = isObject(value) ? value : {};
  if (entry !== value) problems.push(`${path}: expected an object`);
  for (const name of Object.keys(entry)) if (!fields.includes(name)) problems.push(`${path}.${name}: unknown`);
  const text = (name: string, pattern: RegExp, expected: string): string => {
    const found = entry[name];
    if (typeof found === "string" && pattern.test(found)) return found;
    problems.push(`${path}.${name}: expected ${expected}`);
    return "";
  };
  return {
    name: text("name", namePattern, "1 to 64 of A-Z a-z 0-9 _ -"),
    namespace: text("namespace", namePattern, "1 to 64 of A-Z a-z 0-9 _ -"),
    roles: checkRoles(entry["roles"], `${path}.roles`, problems),
    sha256: text("sha256", sha256Pattern, "64 hexadecimal digits in lower case"),
    expiresMs: checkExpires(entry["expires"], `${path}.expires`, problems),
  };
}

function checkRoles(value: unknown, path: string, problems: string[]): Role[] {
  const given: unknown[] = Array.isArray(value) ? value : [];
  if (given.length === 0) problems.push(`${path}: expected a list of ${roles.join(", ")}`);
  return given.filter((role, index): role is Role => {
    if (roles.some((known) => known === role)) return true;
    problems.push(`${path}[${index}]: expected one of ${roles.join(", ")}`);
    return false;
  });
}

function checkExpires(value: unknown, path: string, problems: string[]): number | undefined {
  if (value === undefined) return undefined;
  const timeMs = typeof value === "string" && timePattern.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(timeMs)) problems.push(`${path}: expected a time such as 2030-01-31T12:00:00Z`);
  return timeMs;
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

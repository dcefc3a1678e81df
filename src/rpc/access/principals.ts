import { hash, timingSafeEqual } from "node:crypto";
import { readFile, stat } from "node:fs/promises";

import { TaskError } from "../../task/errors.ts";
import { type Role, roles } from "../methods.ts";
import type { RpcLogger } from "../observer.ts";
import { type ApiKey, ApiKeysError, parseApiKeys } from "./api-keys.ts";

/** Who calls, and what it may do. */
export interface Principal {
  readonly name: string;
  readonly namespace: string;
  readonly roles: ReadonlySet<Role>;
  /** In ms since 1970; undefined means never. */
  readonly expiresMs: number | undefined;
}

/** Knows who may call. */
export interface Principals {
  /** False when there are no credentials and everybody is let in. */
  readonly authenticated: boolean;
  /** Who sent this `authorization` header. Throws CREDENTIAL_MISSING or CREDENTIAL_INVALID. */
  authenticate(authorization: string | undefined, nowMs: number): Principal;
  /** Whether a principal that was authenticated earlier still would be. */
  isCurrent(principal: Principal, nowMs: number): boolean;
  /** Stops looking after its file. Idempotent. */
  close(): void;
}

/** Lets everybody in as one principal that may do everything. For listeners that only this machine can reach. */
export function createOpenPrincipals(): Principals {
  const anonymous: Principal = { name: "anonymous", namespace: "default", roles: new Set(roles), expiresMs: undefined };
  return { authenticated: false, authenticate: () => anonymous, isCurrent: () => true, close: () => {} };
}

/** What `loadPrincipals` needs. */
export interface PrincipalsOptions {
  /** The file of API keys, as `parseApiKeys` reads it. */
  readonly file: string;
  /** How often the file is looked at, in ms; 5,000 if unset. */
  readonly pollIntervalMs?: number;
  readonly logger: RpcLogger;
}

/**
 * Lets in who sends `authorization: Bearer <key>` with a key of the file. The file may change at any time: a good new one
 * replaces the old one within the poll interval, a broken one is logged and changes nothing. Rejects with `ApiKeysError`
 * if the file cannot be used now.
 */
export async function loadPrincipals({ file, pollIntervalMs = 5_000, logger }: PrincipalsOptions): Promise<Principals> {
  let version = await versionOf(file);
  let known = index(await read(file), new Map());
  let current = principalsOf(known);
  let looking = false;

  const look = async (): Promise<void> => {
    const found = await versionOf(file);
    if (found === version) return;
    version = found;
    known = index(await read(file), known);
    current = principalsOf(known);
    logger.info("API keys reloaded", { file, keys: known.size });
  };
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    look()
      .catch((error: unknown) => logger.error("API keys could not be reloaded, the old ones stay", { file, error }))
      .finally(() => {
        looking = false;
      });
  }, pollIntervalMs);
  // Nobody waits for the next look.
  timer.unref();

  return {
    authenticated: true,
    authenticate(authorization, nowMs) {
      if (authorization === undefined || authorization === "") throw missing();
      const digest = hash("sha256", bearerKey(authorization), "buffer");
      const found = known.get(digest.toString("hex"));
      if (found === undefined || !timingSafeEqual(found.digest, digest)) throw invalid();
      if (hasExpired(found.principal, nowMs)) throw invalid();
      return found.principal;
    },
    isCurrent(principal, nowMs) {
      return !hasExpired(principal, nowMs) && current.has(principal);
    },
    close: () => clearInterval(timer),
  };
}

const maxFileBytes = 4 * 1_024 * 1_024;
const maxKeyLength = 1_024;

interface Known {
  readonly key: ApiKey;
  readonly digest: Buffer;
  readonly principal: Principal;
}

/**
 * By digest. How long finding one takes says something of the digest at most, and nobody can make a key whose digest
 * comes close to another's.
 */
type KnownByDigest = ReadonlyMap<string, Known>;

function index(keys: readonly ApiKey[], before: KnownByDigest): KnownByDigest {
  return new Map(keys.map((key) => [key.sha256, reuse(key, before.get(key.sha256)) ?? know(key)]));
}

function principalsOf(known: KnownByDigest): ReadonlySet<Principal> {
  return new Set(known.values().map(({ principal }) => principal));
}

/** A key that did not change keeps its principal, by which open watches hold on to it. */
function reuse(key: ApiKey, before: Known | undefined): Known | undefined {
  return before !== undefined && JSON.stringify(before.key) === JSON.stringify(key) ? before : undefined;
}

function know(key: ApiKey): Known {
  const { name, namespace, expiresMs } = key;
  return {
    key,
    digest: Buffer.from(key.sha256, "hex"),
    principal: { name, namespace, roles: new Set(key.roles), expiresMs },
  };
}

async function read(file: string): Promise<ApiKey[]> {
  try {
    const { size } = await stat(file);
    if (size > maxFileBytes) throw new ApiKeysError(file, [`larger than ${maxFileBytes} bytes`]);
    return parseApiKeys(file, await readFile(file, "utf8"));
  } catch (error) {
    if (error instanceof ApiKeysError) throw error;
    throw new ApiKeysError(file, ["cannot be read"], error);
  }
}

/** Changes whenever the file does; a file that is not there has a version too, so that its absence is reported once. */
async function versionOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(file, { bigint: true });
    return `${ino}:${size}:${mtimeNs}`;
  } catch {
    return "absent";
  }
}

function bearerKey(authorization: string): string {
  const key = /^bearer +(?<key>[\x21-\x7e]+)$/i.exec(authorization)?.groups?.["key"];
  if (key === undefined || key.length > maxKeyLength) throw invalid();
  return key;
}

function hasExpired({ expiresMs }: Principal, nowMs: number): boolean {
  return expiresMs !== undefined && expiresMs <= nowMs;
}

function missing(): TaskError {
  return new TaskError("CREDENTIAL_MISSING", "no credential: send authorization: Bearer <API key>");
}

function invalid(): TaskError {
  return new TaskError("CREDENTIAL_INVALID", "credential is not valid");
}

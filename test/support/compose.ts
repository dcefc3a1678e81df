import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "yaml";

/** A service of a compose file, as far as tests look at it. */
export interface ComposeService {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly profiles?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly secrets?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly init?: boolean;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period?: string;
}

/** A compose file, as far as tests look at it. */
export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly networks: Readonly<Record<string, unknown>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

/** Where everything about deploying is. */
export const deployFolder = join(import.meta.dirname, "../../deploy");

/** Reads a YAML file below `deploy/`. Throws at a key that is there twice. */
export function readYaml(path: string): unknown {
  return parse(readFileSync(join(deployFolder, path), "utf8"), { merge: true, strict: true, uniqueKeys: true });
}

/** The committed compose file, merge keys resolved. */
export function readCompose(): ComposeFile {
  return readYaml("compose.yaml") as ComposeFile;
}

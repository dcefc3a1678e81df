import { execFile } from "node:child_process";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

import { unpackDebianPackage } from "../../src/dev/debian-package.ts";

const run = promisify(execFile);

/** The programs of other projects that tests speak to. `python3` is one that can import grpc and google.protobuf. */
export type SystemProgram = "chromium" | "curl" | "prometheus" | "promtool" | "python3";

/** Where a program is, or why there is none. */
export type SystemProgramState = { readonly path: string } | { readonly missing: string };

export type SystemPrograms = Readonly<Record<SystemProgram, SystemProgramState>>;

interface Recipe {
  /** Names on the PATH, or whole paths, the best first. */
  readonly names: readonly string[];
  /** Arguments under which a usable program ends well. */
  readonly probe: readonly string[];
  readonly packages: readonly string[];
  /** Unpacked into the user's cache and not installed, because installing it would start a service. */
  readonly unpacked?: boolean;
}

const recipes: Readonly<Record<SystemProgram, Recipe>> = {
  chromium: { names: ["chromium", "chromium-browser", "google-chrome"], probe: ["--version"], packages: ["chromium"] },
  curl: { names: ["curl"], probe: ["--version"], packages: ["curl"] },
  prometheus: { names: ["prometheus"], probe: ["--version"], packages: ["prometheus"], unpacked: true },
  promtool: { names: ["promtool"], probe: ["--version"], packages: ["prometheus"], unpacked: true },
  python3: {
    names: ["python3", "/usr/bin/python3"],
    probe: ["-c", "import grpc, google.protobuf"],
    packages: ["python3-grpcio", "python3-protobuf"],
  },
};

const all = Object.keys(recipes) as SystemProgram[];

/**
 * Finds the programs that tests speak to, and brings those that are missing where that is possible: as root on Debian by
 * apt, Prometheus by unpacking its package into the user's cache. Asks nobody for a password and never fails; what stays
 * missing comes with the reason.
 */
export async function bringSystemPrograms(): Promise<SystemPrograms> {
  const found = new Map<SystemProgram, SystemProgramState>();
  for (const program of all) found.set(program, await find(program));
  const missing = all.filter((program) => "missing" in (found.get(program) ?? {}));

  const toUnpack = missing.filter((program) => recipes[program].unpacked === true);
  const unpackFailure = toUnpack.length === 0 ? undefined : await failureOf(unpackPrometheus());
  const toInstall = missing.filter((program) => recipes[program].unpacked !== true);
  const installFailure = toInstall.length === 0 ? undefined : await failureOf(install(toInstall));

  for (const program of missing) {
    found.set(program, await find(program, recipes[program].unpacked === true ? unpackFailure : installFailure));
  }
  return Object.fromEntries(found) as SystemPrograms;
}

async function find(program: SystemProgram, why?: string): Promise<SystemProgramState> {
  const { names, probe, packages } = recipes[program];
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), join(prometheusTree(), "usr/bin")];
  const paths = names.flatMap((name) => (name.startsWith("/") ? [name] : folders.map((folder) => join(folder, name))));
  for (const path of paths) {
    const works = await run(path, [...probe], { timeout: 20_000 }).catch(() => undefined);
    if (works !== undefined) return { path };
  }
  const reason = why === undefined ? "" : `: ${why}`;
  return { missing: `${program} is not there (Debian packages: ${packages.join(" ")})${reason}` };
}

async function install(programs: readonly SystemProgram[]): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error("only root may install packages");
  const packages = programs.flatMap((program) => recipes[program].packages);
  const options = { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }, timeout: 300_000 };
  const wanted = [...aptOptions, "install", "--yes", "--no-install-recommends", ...packages];
  try {
    await run("apt-get", wanted, options);
  } catch {
    // The package lists are missing or stale. One unreachable archive of several fails the update and spoils nothing.
    await run("apt-get", [...aptOptions, "update"], options).catch(() => undefined);
    await run("apt-get", wanted, options);
  }
}

const aptOptions = ["--quiet", "--quiet", "-o", "DPkg::Lock::Timeout=120"];

async function unpackPrometheus(): Promise<void> {
  await unpackDebianPackage({ name: "prometheus", target: prometheusTree() });
}

function prometheusTree(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "taskwatch", "prometheus");
}

async function failureOf(work: Promise<void>): Promise<string | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error)),
  );
}

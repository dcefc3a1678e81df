import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { type DebianSource, debianArchives, parseDeb822, parseSourcesList } from "./debian-sources.ts";

const run = promisify(execFile);

/** What {@link unpackDebianPackage} is to bring. */
export interface DebianPackageRequest {
  /** The package's name. */
  readonly name: string;
  /** The suite to take it from, such as `sid`; by default the one that is installed. */
  readonly suite?: string;
  /** Where the unpacked tree goes: a folder that does not exist yet, in one that may be written. */
  readonly target: string;
  /** How long all of it may take, in milliseconds; two minutes by default. */
  readonly timeoutMs?: number;
}

/** A package could not be brought from the Debian archive; the message says why, the cause has apt's words. */
export class DebianPackageError extends Error {
  override readonly name = "DebianPackageError";
}

/**
 * Downloads one package from the archive that this machine's apt is configured for, and unpacks it, without installing it.
 *
 * Needs no root and changes nothing of the system's: apt runs on a state directory of its own that is removed afterwards.
 * The archive's signature is checked against Debian's keyring, whatever the configured source says of itself. Callers may
 * run side by side: the target appears whole or not at all, and who comes second finds the first one's.
 *
 * @throws {DebianPackageError} where this is no Debian, or no configured archive has the package.
 */
export async function unpackDebianPackage(request: DebianPackageRequest): Promise<void> {
  const signal = AbortSignal.timeout(request.timeoutMs ?? 120_000);
  const codename = await releaseCodename();
  const keyring = await archiveKeyring();
  const archives = debianArchives(await configuredSources(), codename).slice(0, 4);
  if (archives.length === 0) throw new DebianPackageError("no Debian archive is configured in /etc/apt");
  await mkdir(join(request.target, ".."), { recursive: true });
  const workspace = await mkdtemp(`${request.target}.part-`);
  try {
    const suite = request.suite ?? codename;
    const archive = await downloadFromAny(archives, { name: request.name, suite, keyring, workspace, signal });
    const tree = join(workspace, "tree");
    await run("dpkg-deb", ["--extract", archive, tree], { signal });
    await renameUnlessThere(tree, request.target);
  } finally {
    // What cannot be removed takes room in a cache and does no other harm.
    await rm(workspace, { recursive: true, force: true }).catch(() => undefined);
  }
}

interface Download {
  readonly name: string;
  readonly suite: string;
  readonly keyring: string;
  readonly workspace: string;
  readonly signal: AbortSignal;
}

async function downloadFromAny(archives: readonly DebianSource[], download: Download): Promise<string> {
  let failure: unknown;
  for (const [index, archive] of archives.entries()) {
    const folder = join(download.workspace, `apt-${index}`);
    try {
      return await downloadFrom(archive, { ...download, workspace: folder });
    } catch (error) {
      failure = error;
    }
    download.signal.throwIfAborted();
  }
  const reason = `apt could not download ${download.name} from Debian's ${download.suite}`;
  throw new DebianPackageError(`${reason}: ${lastWords(failure)}`, { cause: failure });
}

/** What a program that failed said last. */
function lastWords(failure: unknown): string {
  const text = failure instanceof Error ? failure.message : String(failure);
  return text.trim().split("\n").at(-1) ?? "";
}

async function downloadFrom(archive: DebianSource, download: Download): Promise<string> {
  const { workspace, signal } = download;
  const packages = join(workspace, "packages");
  for (const folder of ["lists/partial", "cache/archives/partial", "empty", "packages"]) {
    await mkdir(join(workspace, folder), { recursive: true });
  }
  await writeFile(join(workspace, "status"), "");
  await writeFile(join(workspace, "sources.list"), `${sourceLine(archive, download)}\n`);
  await writeFile(join(workspace, "apt.conf"), await aptConfiguration(workspace));
  const options = {
    signal,
    cwd: packages,
    env: { ...process.env, APT_CONFIG: join(workspace, "apt.conf"), LC_ALL: "C" },
  };
  await run("apt-get", ["update", "--quiet", "--error-on=any"], options);
  await run("apt-get", ["download", "--quiet", download.name], options);
  const file = (await readdir(packages)).find((name) => name.endsWith(".deb"));
  if (file === undefined) throw new DebianPackageError(`apt downloaded nothing for ${download.name}`);
  return join(packages, file);
}

function sourceLine(archive: DebianSource, download: Download): string {
  const lenient = archive.checksValidUntil ? "" : " check-valid-until=no";
  return `deb [signed-by=${download.keyring}${lenient}] ${archive.uri} ${download.suite} main`;
}

/** The machine's own settings are read for how to reach an archive (proxies, certificates) and for nothing else. */
async function aptConfiguration(workspace: string): Promise<string> {
  const { stdout: settings } = await run("apt-config", ["dump", "Acquire"]);
  const transport = settings.split("\n").filter((line) => !/^Acquire::(IndexTargets|Languages)\b/.test(line));
  const { stdout: architecture } = await run("dpkg", ["--print-architecture"]);
  const empty = join(workspace, "empty");
  return [
    ...transport,
    `Dir::State "${workspace}";`,
    `Dir::State::lists "${join(workspace, "lists")}";`,
    `Dir::State::status "${join(workspace, "status")}";`,
    `Dir::Cache "${join(workspace, "cache")}";`,
    `Dir::Etc::main "${join(empty, "apt.conf")}";`,
    `Dir::Etc::parts "${empty}";`,
    `Dir::Etc::sourcelist "${join(workspace, "sources.list")}";`,
    `Dir::Etc::sourceparts "${empty}";`,
    `Dir::Etc::preferences "${join(empty, "preferences")}";`,
    `Dir::Etc::preferencesparts "${empty}";`,
    `APT::Architecture "${architecture.trim()}";`,
    `#clear APT::Architectures;`,
    `APT::Architectures { "${architecture.trim()}"; };`,
    // As root apt would hand the download to a user that may not write here, and warn that it cannot.
    `APT::Sandbox::User "root";`,
    `Acquire::Languages "none";`,
    `Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";`,
    `Acquire::Retries "2";`,
    "",
  ].join("\n");
}

async function releaseCodename(): Promise<string> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  if (!/^ID(_LIKE)?=.*\bdebian\b/m.test(text)) throw new DebianPackageError("this system is not of Debian's family");
  return /^VERSION_CODENAME=["']?([a-z]+)/m.exec(text)?.[1] ?? "sid";
}

async function archiveKeyring(): Promise<string> {
  for (const ending of ["gpg", "pgp"]) {
    const path = `/usr/share/keyrings/debian-archive-keyring.${ending}`;
    if (await exists(path)) return path;
  }
  throw new DebianPackageError("the package debian-archive-keyring is not installed, so no download could be checked");
}

async function configuredSources(): Promise<DebianSource[]> {
  const folder = "/etc/apt/sources.list.d";
  const names = (await readdir(folder).catch((): string[] => [])).toSorted();
  const sources: DebianSource[] = [];
  for (const path of ["/etc/apt/sources.list", ...names.map((name) => join(folder, name))]) {
    const text = await readFile(path, "utf8").catch(() => "");
    if (path.endsWith(".list")) sources.push(...parseSourcesList(text));
    if (path.endsWith(".sources")) sources.push(...parseDeb822(text));
  }
  return sources;
}

async function renameUnlessThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(await exists(to))) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Where this machine takes its Debian packages from, read from apt's own source lists.
 *
 * Two formats are in use: one line an entry (`*.list`) and stanzas of fields (`*.sources`, called deb822). Only what is
 * needed to address the same archive again is kept; an entry that cannot be read is left out.
 */

/** One archive that apt is configured to fetch binary packages from. */
export interface DebianSource {
  /** As configured, without a slash at its end. */
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** False where the entry says that its index may be older than the archive promises, as a snapshot's is. */
  readonly checksValidUntil: boolean;
}

/** Reads the one-line format of `sources.list` and `*.list`. */
export function parseSourcesList(text: string): DebianSource[] {
  return text
    .split("\n")
    .map((line) => /^deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line.trim()))
    .filter((match) => match !== null)
    .map(([, options = "", uri = "", suite = "", components = ""]) => ({
      uri: withoutSlash(uri),
      suites: [suite],
      components: words(components),
      checksValidUntil: !words(options).some((option) => /^check-valid-until=(no|false|0)$/i.test(option)),
    }));
}

/** Reads the stanzas of `*.sources`. */
export function parseDeb822(text: string): DebianSource[] {
  return text
    .split(/\n(?:[ \t]*\n)+/)
    .map(fieldsOf)
    .filter((fields) => words(fields.get("types")).includes("deb") && !isNo(fields.get("enabled")))
    .flatMap((fields) =>
      words(fields.get("uris")).map((uri) => ({
        uri: withoutSlash(uri),
        suites: words(fields.get("suites")),
        components: words(fields.get("components")),
        checksValidUntil: !isNo(fields.get("check-valid-until")),
      })),
    );
}

/**
 * The sources that may be the Debian archive itself, the likeliest first: those with a `main` component, first the ones
 * that serve the installed release. Which of them is genuine is for apt to find, by the archive's signature.
 */
export function debianArchives(sources: readonly DebianSource[], codename: string): DebianSource[] {
  const serves = (source: DebianSource): boolean => source.suites.includes(codename);
  const candidates = sources.filter(
    (source) => source.components.includes("main") && !source.suites.every((suite) => suite.includes("-security")),
  );
  const ordered = [...candidates.filter(serves), ...candidates.filter((source) => !serves(source))];
  return ordered.filter((source, index) => ordered.findIndex(({ uri }) => uri === source.uri) === index);
}

function fieldsOf(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let current: string | undefined;
  for (const line of stanza.split("\n").filter((candidate) => !candidate.startsWith("#"))) {
    const field = /^([A-Za-z][A-Za-z-]*):(.*)$/.exec(line);
    if (field?.[1] !== undefined) {
      current = field[1].toLowerCase();
      fields.set(current, field[2] ?? "");
    } else if (current !== undefined && /^[ \t]/.test(line)) {
      fields.set(current, `${fields.get(current) ?? ""} ${line.trim()}`);
    }
  }
  return fields;
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(/[\s,]+/).filter((word) => word !== "");
}

function isNo(text: string | undefined): boolean {
  return text !== undefined && /^(no|false|0)$/i.test(text.trim());
}

function withoutSlash(uri: string): string {
  return uri.replace(/\/+$/, "");
}

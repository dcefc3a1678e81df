/**
 * The configuration of the service: environment in, frozen and typed out. The table below is all there is; the README's is
 * checked against it.
 */

/** A setting as the table describes it. */
export interface Setting<Value> {
  /** The environment variable. */
  readonly name: string;
  /** What holds when it is not set, as it would be written. Empty: not set. */
  readonly fallback: string;
  /** For the documentation. One sentence. */
  readonly description: string;
  /** Reads the text; throws a `RangeError` that says what it must be. */
  readonly parse: (text: string) => Value;
}

/** The settings, by the name that the code uses. */
export const settings = {
  natsUrl: text("TASKWATCH_NATS_URL", "nats://127.0.0.1:4222", "Servers of NATS, separated by commas."),
  natsCredsFile: optional("TASKWATCH_NATS_CREDS_FILE", "Credentials file for NATS (JWT and seed)."),
  natsInboxPrefix: optional(
    "TASKWATCH_NATS_INBOX_PREFIX",
    "Where replies of NATS are received; give each identity its own.",
  ),
  grpcAddress: text("TASKWATCH_GRPC_ADDRESS", "127.0.0.1:50051", "Where gRPC is served."),
  httpAddress: text("TASKWATCH_HTTP_ADDRESS", "127.0.0.1:8080", "Where Connect, gRPC-Web and JSON are served."),
  adminAddress: text("TASKWATCH_ADMIN_ADDRESS", "127.0.0.1:9464", "Where metrics and health are served."),
  adminToken: optional("TASKWATCH_ADMIN_TOKEN", "Bearer token that `/metrics` asks for."),
  apiKeysFile: optional(
    "TASKWATCH_API_KEYS_FILE",
    "JSON file of API keys. Without it there is no authentication, and only loopback addresses may be served.",
  ),
  tlsCertFile: optional("TASKWATCH_TLS_CERT_FILE", "Certificate chain (PEM) of both API listeners."),
  tlsKeyFile: optional("TASKWATCH_TLS_KEY_FILE", "Private key (PEM) of both API listeners."),
  corsOrigins: list("TASKWATCH_CORS_ORIGINS", "Origins of web pages that may call the API, separated by commas."),
  replicas: oneOf("TASKWATCH_REPLICAS", "1", [1, 3, 5], "How many servers of NATS keep each stream: 1, 3 or 5."),
  maxQueues: count("TASKWATCH_MAX_QUEUES", 256, [1, 10_000], "How many queues there may be."),
  leaseSeconds: count(
    "TASKWATCH_LEASE_SECONDS",
    30,
    [2, 3_600],
    "Lease of new queues: how long an attempt is its worker's without a sign of life.",
  ),
  maxWatches: count("TASKWATCH_MAX_WATCHES", 10_000, [1, 1_000_000], "Watches that this process holds open at once."),
  maxWatchesPerPrincipal: count(
    "TASKWATCH_MAX_WATCHES_PER_PRINCIPAL",
    1_000,
    [1, 1_000_000],
    "Watches that one principal may hold open at once.",
  ),
  callsPerSecond: count(
    "TASKWATCH_CALLS_PER_SECOND",
    0,
    [0, 1_000_000],
    "Calls that one principal may make in a second, on average; 0 means as many as it likes.",
  ),
  maxCallsInFlight: count(
    "TASKWATCH_MAX_CALLS_IN_FLIGHT",
    0,
    [0, 100_000],
    "Unary calls that one principal may have under way at once; 0 means as many as it likes.",
  ),
  drainSeconds: count(
    "TASKWATCH_DRAIN_SECONDS",
    20,
    [0, 3_600],
    "How long calls that are under way may take to finish after SIGTERM.",
  ),
  commit: text("TASKWATCH_COMMIT", "unknown", "The commit that was built, as shown in `taskwatch_build_info`."),
  logLevel: oneOf(
    "TASKWATCH_LOG_LEVEL",
    "info",
    ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    "The least severe lines that are logged: trace, debug, info, warn, error, fatal or silent.",
  ),
} as const satisfies Record<string, Setting<unknown>>;

/** The configuration of the service. */
export type Config = {
  readonly [Name in keyof typeof settings]: (typeof settings)[Name] extends Setting<infer Value> ? Value : never;
};

/** Variables that begin like ours and are read by other parts: the command line and the start script. */
const foreignNames: ReadonlySet<string> = new Set(["TASKWATCH_ADDRESS", "TASKWATCH_API_KEY"]);

/** The environment says things that make no sense: all of them, one a line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Reads the configuration. Throws a `ConfigError` that lists every mistake, unknown `TASKWATCH_` variables included. */
export function configFromEnvironment(environment: Readonly<Record<string, string | undefined>> = process.env): Config {
  const problems: string[] = [];
  const entries = Object.entries(settings).map(([key, setting]: [string, Setting<unknown>]) => {
    const given = environment[setting.name];
    try {
      return [key, setting.parse(given === undefined || given === "" ? setting.fallback : given)];
    } catch (error) {
      problems.push(`${setting.name} ${error instanceof Error ? error.message : String(error)}, got "${given}"`);
      return [key, undefined];
    }
  });
  const known = new Set<string>(Object.values(settings).map(({ name }) => name));
  for (const name of Object.keys(environment)) {
    if (name.startsWith("TASKWATCH_") && !known.has(name) && !foreignNames.has(name)) {
      problems.push(`${name} is not a setting`);
    }
  }
  const config = Object.freeze(Object.fromEntries(entries)) as Config;
  if (problems.length === 0) problems.push(...relationProblems(config));
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  return config;
}

function relationProblems(config: Config): string[] {
  if ((config.tlsCertFile === undefined) === (config.tlsKeyFile === undefined)) return [];
  return [`${settings.tlsCertFile.name} and ${settings.tlsKeyFile.name} must be set together`];
}

function text(name: string, fallback: string, description: string): Setting<string> {
  return { name, fallback, description, parse: (value) => value };
}

function optional(name: string, description: string): Setting<string | undefined> {
  return { name, fallback: "", description, parse: (value) => (value === "" ? undefined : value) };
}

function list(name: string, description: string): Setting<readonly string[]> {
  const parse = (value: string) =>
    value
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "");
  return { name, fallback: "", description, parse };
}

function count(
  name: string,
  fallback: number,
  [least, most]: readonly [number, number],
  description: string,
): Setting<number> {
  const parse = (value: string) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= least && number <= most) return number;
    throw new RangeError(`must be a whole number from ${least} to ${most}`);
  };
  return { name, fallback: String(fallback), description, parse };
}

function oneOf<const Value extends string | number>(
  name: string,
  fallback: string,
  values: readonly Value[],
  description: string,
): Setting<Value> {
  const parse = (given: string) => {
    const found = values.find((value) => String(value) === given);
    if (found !== undefined) return found;
    throw new RangeError(`must be one of ${values.join(", ")}`);
  };
  return { name, fallback, description, parse };
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { findNatsServer } from "./nats-server-binary.ts";

/** How {@link startNatsServer} is to run the server; every field has a default. */
export interface NatsServerOptions {
  /** Where JetStream keeps its files; by default a folder that goes when the server is disposed. */
  readonly storeDir?: string;
  /** The port for clients; by default the system picks one. */
  readonly port?: number;
  /** Serves the monitoring pages on a port that the system picks; see {@link NatsServer.monitoringUrl}. */
  readonly monitoring?: boolean;
  /** How often stored messages are forced to disk, such as `1s` or `always`; two minutes by default, as the server has it. */
  readonly syncInterval?: string;
  /** More of the server's own configuration, in its own language. */
  readonly configuration?: string;
  /** The program to run; by default the one that `findNatsServer` finds. */
  readonly binary?: string;
  /** Puts it into a process group of its own, so that Ctrl-C does not reach it; false by default. */
  readonly detached?: boolean;
  /** How long the server may take to answer, in milliseconds; 30 seconds by default, for a large store to be read. */
  readonly startTimeoutMs?: number;
}

/** A nats-server with JetStream that runs as a child process and listens on loopback. */
export interface NatsServer extends AsyncDisposable {
  /** What clients connect to. It stays the same over {@link NatsServer.restart}. */
  readonly url: string;
  readonly port: number;
  /** Undefined unless `monitoring` was asked for. */
  readonly monitoringUrl: string | undefined;
  /** Of the process that runs now, or ran last. */
  readonly pid: number;
  readonly storeDir: string;
  /** Settles when the process that runs now has ended. */
  readonly ended: Promise<void>;
  /** Sends a signal (SIGKILL by default) and waits until the process has ended. Harmless when it has. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port and store, after ending it where it still runs; then answers clients again. */
  restart(): Promise<void>;
  /** The newest 64 KiB of what the server wrote to its log. */
  log(): Promise<string>;
}

/**
 * Starts a real nats-server and waits until it answers. Disposing it ends the process and removes what was created for it.
 *
 * @throws NatsServerMissing where there is no server to run, and an error with the server's log where it does not come up.
 */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const binary = options.binary ?? (await findNatsServer()).path;
  const folder = await mkdtemp(join(tmpdir(), "taskwatch-nats-"));
  const server = new ChildServer({ binary, folder, options });
  try {
    await server.start();
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

class ChildServer implements NatsServer {
  readonly storeDir: string;
  readonly #binary: string;
  readonly #folder: string;
  readonly #options: NatsServerOptions;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #listening: Listening = { port: -1, monitoringPort: -1 };
  /** What the server says before its log is open, such as an error in its configuration. */
  #firstWords = "";

  constructor({ binary, folder, options }: { binary: string; folder: string; options: NatsServerOptions }) {
    this.#binary = binary;
    this.#folder = folder;
    this.#options = options;
    this.#listening = { port: options.port ?? -1, monitoringPort: -1 };
    this.storeDir = options.storeDir ?? join(folder, "store");
  }

  get port(): number {
    return this.#listening.port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#listening.port}`;
  }

  get monitoringUrl(): string | undefined {
    return this.#options.monitoring === true ? `http://127.0.0.1:${this.#listening.monitoringPort}` : undefined;
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  get ended(): Promise<void> {
    return this.#ended;
  }

  async start(): Promise<void> {
    await mkdir(this.storeDir, { recursive: true });
    await mkdir(join(this.#folder, "ports"), { recursive: true });
    const configuration = join(this.#folder, "nats.conf");
    await writeFile(configuration, this.#configuration());
    const child = spawn(this.#binary, ["--config", configuration], {
      stdio: ["ignore", "ignore", "pipe"],
      detached: this.#options.detached ?? false,
    });
    this.#child = child;
    this.#firstWords = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#firstWords = (this.#firstWords + text).slice(-8192);
    });
    // The child must not outlive this process when that ends without disposing of it.
    const killWithUs = (): void => void child.kill("SIGKILL");
    process.once("exit", killWithUs);
    this.#ended = once(child, "close").then(
      () => void process.off("exit", killWithUs),
      () => void process.off("exit", killWithUs),
    );
    this.#listening = await this.#whenListening(child);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child?.kill(signal);
    await this.#ended;
  }

  async restart(): Promise<void> {
    await this.#end();
    await rm(join(this.#folder, "ports"), { recursive: true, force: true });
    await this.start();
  }

  async log(): Promise<string> {
    return (await tailOf(join(this.#folder, "nats.log"), 64 * 1024)) + this.#firstWords;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async #end(): Promise<void> {
    this.#child?.kill("SIGTERM");
    const patience = new AbortController();
    const killed = sleep(5000, undefined, { signal: patience.signal, ref: false }).then(
      () => this.#child?.kill("SIGKILL"),
      () => undefined,
    );
    await this.#ended;
    patience.abort();
    await killed;
  }

  #configuration(): string {
    const { syncInterval, configuration, monitoring } = this.#options;
    const { port, monitoringPort } = this.#listening;
    return [
      `listen: "127.0.0.1:${port}"`,
      ...(monitoring === true ? [`http: "127.0.0.1:${monitoringPort}"`] : []),
      `ports_file_dir: ${JSON.stringify(join(this.#folder, "ports"))}`,
      `log_file: ${JSON.stringify(join(this.#folder, "nats.log"))}`,
      `jetstream {`,
      `  store_dir: ${JSON.stringify(this.storeDir)}`,
      ...(syncInterval === undefined ? [] : [`  sync_interval: ${syncInterval}`]),
      `}`,
      configuration ?? "",
      "",
    ].join("\n");
  }

  async #whenListening(child: ChildProcess): Promise<Listening> {
    const timeoutMs = this.#options.startTimeoutMs ?? 30_000;
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
        await this.#ended;
        throw new Error(`nats-server ended before it listened:\n${await this.log()}`);
      }
      const listening = await readPorts(join(this.#folder, "ports", `nats-server_${child.pid}.ports`));
      if (listening !== undefined && (await answers(listening.port))) return listening;
      await sleep(5);
    }
    throw new Error(`nats-server did not listen within ${timeoutMs} ms:\n${await this.log()}`);
  }
}

interface Listening {
  readonly port: number;
  readonly monitoringPort: number;
}

/** The server writes this file once it listens; it may be seen half-written. */
async function readPorts(path: string): Promise<Listening | undefined> {
  try {
    const ports = JSON.parse(await readFile(path, "utf8")) as { nats?: string[]; monitoring?: string[] };
    const url = ports.nats?.[0];
    if (url === undefined) return undefined;
    return {
      port: portOf(url),
      monitoringPort: ports.monitoring?.[0] === undefined ? -1 : portOf(ports.monitoring[0]),
    };
  } catch {
    return undefined;
  }
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

/** A nats-server greets whoever connects; that it does proves more than that the port is open. */
async function answers(port: number): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port });
  try {
    const [greeting] = (await once(socket, "data", { signal: AbortSignal.timeout(2000) })) as [Buffer];
    return greeting.toString("latin1").startsWith("INFO ");
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function tailOf(path: string, bytes: number): Promise<string> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return "";
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - bytes);
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(Math.min(size, bytes)), position: start });
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

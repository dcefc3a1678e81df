import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A program of the project that runs as a child process, as in production: with its own memory, signals and crashes. */
export interface ProjectProcess extends AsyncDisposable {
  readonly pid: number;
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Whether it runs. */
  readonly running: boolean;
  /** Resolves with the first log line, past or to come, that has this message. */
  line(message: string, timeoutMs?: number): Promise<Readonly<Record<string, unknown>>>;
  /** What it has written so far, both outputs. */
  output(): string;
  /** Sends a signal (SIGKILL by default) and waits for the end. */
  kill(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>;
  /** Sends a signal and does not wait. */
  signal(signal: NodeJS.Signals): void;
}

/** How to run a program of the project. */
export interface ProjectProcessOptions {
  /** The file below the project's folder, such as `src/main.ts`. */
  readonly file: string;
  readonly arguments?: readonly string[];
  /** Added to an environment without any `TASKWATCH_` variable. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Starts a program of the project. */
export function startProjectProcess(options: ProjectProcessOptions): ProjectProcess {
  return new Child(options);
}

type Waiter = { readonly message: string; readonly resolve: (line: Readonly<Record<string, unknown>>) => void };

class Child implements ProjectProcess {
  readonly ended: Promise<number | NodeJS.Signals>;
  readonly #child: ChildProcess;
  readonly #lines: Readonly<Record<string, unknown>>[] = [];
  readonly #waiters = new Set<Waiter>();
  #text = "";
  #running = true;

  constructor({ file, arguments: rest = [], environment = {} }: ProjectProcessOptions) {
    const root = new URL("../../", import.meta.url);
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("TASKWATCH_"));
    this.#child = spawn(process.execPath, [fileURLToPath(new URL(file, root)), ...rest], {
      cwd: fileURLToPath(root),
      env: { ...Object.fromEntries(inherited), ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const killWithUs = () => void this.#child.kill("SIGKILL");
    process.once("exit", killWithUs);
    this.ended = once(this.#child, "close").then(([code, signal]: unknown[]) => {
      this.#running = false;
      process.off("exit", killWithUs);
      return (code ?? signal) as number | NodeJS.Signals;
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on("line", (line) => this.#onLine(line));
    }
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get running(): boolean {
    return this.#running;
  }

  async line(message: string, timeoutMs = 20_000): Promise<Readonly<Record<string, unknown>>> {
    const past = this.#lines.find((line) => line["message"] === message);
    if (past !== undefined) return past;
    const { promise, resolve, reject } = Promise.withResolvers<Readonly<Record<string, unknown>>>();
    const waiter: Waiter = { message, resolve };
    this.#waiters.add(waiter);
    const fail = (why: string) => reject(new Error(`${why} before it logged "${message}":\n${this.output()}`));
    const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs);
    void this.ended.then(() => fail("the process ended"));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    }
  }

  output(): string {
    return this.#text;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number | NodeJS.Signals> {
    this.#child.kill(signal);
    return this.ended;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#running) return;
    // A stopped process would not see any other signal.
    await this.kill("SIGKILL");
  }

  #onLine(line: string): void {
    this.#text = (this.#text + line + "\n").slice(-64 * 1024);
    const parsed = parseLine(line);
    if (parsed === undefined) return;
    this.#lines.push(parsed);
    if (this.#lines.length > 2_000) this.#lines.shift();
    for (const waiter of this.#waiters) if (waiter.message === parsed["message"]) waiter.resolve(parsed);
  }
}

function parseLine(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}

import { CommanderError } from "commander";

import { Interrupted } from "./cli-errors.ts";
import { exitCodeOf, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { createProgram, type GlobalFlags, globalOptionsFrom } from "./program.ts";
import { reportError } from "./screen/error-report.ts";
import { styleOf } from "./screen/style.ts";
import type { Connection, GlobalOptions, Session } from "./session.ts";

/** Runs one command and returns the exit code. Never throws. */
export async function runCommandLine(words: readonly string[], io: Io): Promise<number> {
  const session = new CommandSession(io);
  const program = createProgram(session);
  program.hook("preAction", () => session.begin(program.opts<GlobalFlags>()));
  try {
    await program.parseAsync(words, { from: "user" });
    return session.exitCode;
  } catch (error) {
    // It has said itself what is wrong, or has shown the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    // Whatever a command fails with then is a consequence.
    const late = io.interrupted.aborted && !(error instanceof Interrupted);
    const failure = late ? (io.interrupted.reason as unknown) : error;
    io.err.write(reportError(failure, session.address, styleOf(io.err, io)));
    return exitCodeOf(failure);
  }
}

const callTimeoutMs = 10_000;
/** Somebody waits for the answer, so a service that is not there is soon said not to be. */
const retryBudgetMs = 3_000;

class CommandSession implements Session {
  readonly io: Io;
  exitCode: number = exitCodes.ok;
  #options: GlobalOptions | undefined;

  constructor(io: Io) {
    this.io = io;
  }

  get options(): GlobalOptions {
    if (this.#options === undefined) throw new Error("no command runs");
    return this.#options;
  }

  get address(): string {
    return this.#options?.address ?? "";
  }

  begin(flags: GlobalFlags): void {
    this.#options = globalOptionsFrom(flags, this.io);
  }

  async connect(): Promise<Connection> {
    const { createTaskwatchClient, statusToJson } = await import("../client/index.ts");
    const { address, apiKey, tls, tlsCa, tlsCert, tlsKey, tlsServerName } = this.options;
    const files = {
      ...(tlsCa !== undefined && { caFile: tlsCa }),
      ...(tlsCert !== undefined && { certificateFile: tlsCert }),
      ...(tlsKey !== undefined && { keyFile: tlsKey }),
      ...(tlsServerName !== undefined && { serverName: tlsServerName }),
    };
    const secure = tls || Object.keys(files).length > 0;
    const client = createTaskwatchClient({
      address,
      apiKey,
      tls: secure && files,
      timeoutMs: callTimeoutMs,
      retryBudgetMs,
    });
    return { client, statusToJson, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
  }
}

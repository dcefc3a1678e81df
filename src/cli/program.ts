import { Command, Option } from "commander";

import { version } from "../version.ts";
import { addCancel } from "./commands/cancel.ts";
import { addGet } from "./commands/get.ts";
import { addKey } from "./commands/key.ts";
import { addList } from "./commands/list.ts";
import { addServe } from "./commands/serve.ts";
import { addSubmit } from "./commands/submit.ts";
import { addWait } from "./commands/wait.ts";
import { addWatch } from "./commands/watch.ts";
import { addWorker } from "./commands/worker.ts";
import { exitCodesHelp } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import type { GlobalOptions, OutputFormat, Session } from "./session.ts";

/** The global options as they were written. */
export interface GlobalFlags {
  readonly address?: string;
  readonly apiKey?: string;
  readonly tls?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
  readonly output?: OutputFormat;
}

const defaultAddress = "127.0.0.1:50051";

const introduction = `Submits background tasks, and tells how they are doing.

On a terminal it shows them to people; in a pipe it writes one JSON object a line, with the names of the API.
Data goes to standard output, messages to standard error.`;

/** The whole command line. Nothing that a command needs is loaded before it runs. */
export function createProgram(session: Session): Command {
  const { io } = session;
  const program = new Command("taskwatch")
    .description(introduction)
    .usage("[options] <command> …")
    .addOption(new Option("-a, --address <host:port>", `where the service is (TASKWATCH_ADDRESS, ${defaultAddress})`))
    .addOption(new Option("--api-key <key>", "API key; better in TASKWATCH_API_KEY, where other users do not see it"))
    .addOption(new Option("--tls", "use TLS; so does each of the following"))
    .addOption(new Option("--tls-ca <file>", "PEM certificates to trust instead of the usual ones"))
    .addOption(new Option("--tls-cert <file>", "PEM certificate of one's own"))
    .addOption(new Option("--tls-key <file>", "PEM key of that certificate"))
    .addOption(new Option("--tls-server-name <name>", "the name that the server's certificate must have"))
    .addOption(
      new Option("-o, --output <format>", "table or json (default: table on a terminal)").choices(["table", "json"]),
    )
    .version(version, "-v, --version", "display the version")
    .addHelpText("after", exitCodesHelp)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out.write(text),
      writeErr: (text) => io.err.write(text),
      getOutHelpWidth: () => io.out.columns,
      getErrHelpWidth: () => io.err.columns,
      getOutHasColors: () => io.out.isTerminal,
      getErrHasColors: () => io.err.isTerminal,
    });
  for (const add of [addSubmit, addGet, addWatch, addWait, addList, addCancel, addWorker, addServe, addKey]) {
    add(program, session);
  }
  return program;
}

/** What was written, else what the environment says, else the defaults. */
export function globalOptionsFrom(flags: GlobalFlags, { environment, out }: Io): GlobalOptions {
  return {
    address: flags.address ?? given(environment["TASKWATCH_ADDRESS"]) ?? defaultAddress,
    apiKey: flags.apiKey ?? given(environment["TASKWATCH_API_KEY"]),
    tls: flags.tls ?? false,
    tlsCa: flags.tlsCa,
    tlsCert: flags.tlsCert,
    tlsKey: flags.tlsKey,
    tlsServerName: flags.tlsServerName,
    format: flags.output ?? (out.isTerminal ? "table" : "json"),
  };
}

function given(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

import type { TaskwatchClient } from "../client/client.ts";
import type { TaskStatus } from "../client/status/task-status.ts";
import type { Io } from "./io.ts";

/** How data is written. */
export type OutputFormat = "table" | "json";

/** The options that every command takes. */
export interface GlobalOptions {
  readonly address: string;
  readonly apiKey: string | undefined;
  readonly tls: boolean;
  readonly tlsCa: string | undefined;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly tlsServerName: string | undefined;
  readonly format: OutputFormat;
}

/** A client, and what comes with it. */
export interface Connection extends AsyncDisposable {
  readonly client: TaskwatchClient;
  /** A status as the API writes it in JSON. */
  readonly statusToJson: (status: TaskStatus) => object;
}

/** One run of the command line, as its commands see it. */
export interface Session {
  readonly io: Io;
  /** The global options; known once a command runs. */
  readonly options: GlobalOptions;
  /** How the command line ends if the command does not fail. */
  exitCode: number;
  /** Loads the client, which takes its time, and makes one; nothing is sent yet. */
  connect(): Promise<Connection>;
}

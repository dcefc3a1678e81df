import { Interrupted } from "./cli-errors.ts";

/** Where text goes. */
export interface TextOutput {
  write(text: string): void;
  /** Whether a person is looking. */
  readonly isTerminal: boolean;
  /** The size of the terminal; 80 by 24 where there is none. */
  readonly columns: number;
  readonly rows: number;
  /** Calls back whenever the size changes, until the returned function is called. */
  onResize(listener: () => void): () => void;
}

/** What the command line has to do with the world. */
export interface Io {
  /** Data, and nothing else. */
  readonly out: TextOutput;
  /** Messages. */
  readonly err: TextOutput;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborted, with an `Interrupted`, when the user wants it to end. */
  readonly interrupted: AbortSignal;
  /** Aborted when the user says so again: no more time is to be taken for it. */
  readonly insisted: AbortSignal;
  /** All that comes on standard input. */
  readInput(): Promise<Uint8Array>;
}

/** One Ctrl-C may arrive twice: from the terminal, and passed on by npm. */
const echoMs = 500;

/** That of this process. Signals interrupt it, then insist, then end it on the spot. */
export function processIo(): Io {
  const controllers = [new AbortController(), new AbortController()] as const;
  let lastMs = Number.NEGATIVE_INFINITY;
  const onSignal = (): void => {
    const sinceMs = performance.now() - lastMs;
    if (sinceMs < echoMs) return;
    lastMs = performance.now();
    const next = controllers.find(({ signal }) => !signal.aborted);
    if (next === undefined) process.exit(130);
    next.abort(new Interrupted());
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      // Whoever was reading has seen enough.
      if (error.code === "EPIPE") process.exit();
      throw error;
    });
  }
  return {
    out: textOutput(process.stdout),
    err: textOutput(process.stderr),
    environment: process.env,
    interrupted: controllers[0].signal,
    insisted: controllers[1].signal,
    readInput: () => readAll(process.stdin),
  };
}

function textOutput(stream: NodeJS.WriteStream): TextOutput {
  return {
    write: (text) => void stream.write(text),
    // A terminal that cannot move its cursor is no better than a pipe.
    isTerminal: stream.isTTY && process.env["TERM"] !== "dumb",
    get columns() {
      // A terminal that does not know its size says 0.
      return stream.isTTY && stream.columns > 0 ? stream.columns : 80;
    },
    get rows() {
      return stream.isTTY && stream.rows > 0 ? stream.rows : 24;
    },
    onResize: (listener) => {
      stream.on("resize", listener);
      return () => void stream.off("resize", listener);
    },
  };
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

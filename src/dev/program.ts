import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** What {@link keepRunning} runs. */
export interface ProgramOptions {
  /** For messages. */
  readonly name: string;
  /** A script and its arguments, run by the Node that runs this. */
  readonly script: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** Takes everything that the program writes; begun anew by each {@link keepRunning}. */
  readonly logFile: string;
  /** How long the program may take to end after SIGTERM, in milliseconds; then it is killed. */
  readonly stopTimeoutMs: number;
  /** Told each time that the program ends without having been asked to. */
  readonly onRestart: (message: string) => void;
}

/** A program that is started again whenever it ends by itself. */
export interface Program {
  /** Settles with the message of what went wrong if the program ends before {@link Program.settle} is called. */
  readonly failed: Promise<string>;
  /** Says that the program has come up: from now on it is started again when it ends. */
  settle(): void;
  /** Asks it to end, waits, and kills it where it takes too long. Idempotent. */
  stop(): Promise<void>;
  /** Ends it at once. */
  kill(): void;
}

const firstPauseMs = 500;
const longestPauseMs = 10_000;

/**
 * Runs a program and, once it has come up, starts it again whenever it ends: after half a second, then after twice as long
 * each time up to ten seconds, and from the beginning when it has run for longer than that.
 *
 * It runs in a process group of its own, so that Ctrl-C reaches only this process, which ends its programs in order.
 */
export function keepRunning(options: ProgramOptions): Program {
  const stopping = new AbortController();
  const failed = Promise.withResolvers<string>();
  let settled = false;
  let child = run(options, "w");

  const supervision = supervise();
  async function supervise(): Promise<void> {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      const startedAt = performance.now();
      const how = await whenEnded(child);
      if (stopping.signal.aborted) return;
      if (!settled) {
        failed.resolve(`${options.name} ended (${how}) before it was ready:\n${await lastLines(options.logFile)}`);
        return;
      }
      if (performance.now() - startedAt > longestPauseMs) pauseMs = firstPauseMs;
      options.onRestart(`${options.name} ended (${how}); starting it again in ${pauseMs / 1000} s.`);
      if (!(await pause(pauseMs, stopping.signal))) return;
      child = run(options, "a");
    }
  }

  return {
    failed: failed.promise,
    settle() {
      settled = true;
    },
    async stop() {
      stopping.abort();
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), options.stopTimeoutMs);
      await supervision;
      clearTimeout(timer);
    },
    kill() {
      stopping.abort();
      child.kill("SIGKILL");
    },
  };
}

function run({ script, environment, logFile }: ProgramOptions, mode: "w" | "a"): ChildProcess {
  const log = openSync(logFile, mode);
  try {
    return spawn(process.execPath, [...script], {
      env: environment,
      stdio: ["ignore", log, log],
      detached: true,
    });
  } finally {
    closeSync(log);
  }
}

/** Waits; false where it was cut short. */
export async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return sleep(ms, true, { signal }).catch(() => false);
}

async function whenEnded(child: ChildProcess): Promise<string> {
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    return signal ?? `exit code ${code ?? 0}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function lastLines(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-30).join("\n");
}

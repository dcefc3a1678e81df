import { TaskwatchError } from "../client/taskwatch-error.ts";
import { Interrupted, UsageError } from "./cli-errors.ts";

/** How the command line ends. Part of its interface, like the names of its options. */
export const exitCodes = {
  ok: 0,
  taskEndedOtherwise: 1,
  usage: 2,
  notFound: 3,
  unavailable: 4,
  other: 5,
  timedOut: 124,
  interrupted: 130,
} as const;

/** One of them. */
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** For `--help`. */
export const exitCodesHelp = `
Exit codes:
  0    done; a task that was waited for SUCCEEDED
  1    a task that was waited for FAILED, was CANCELLED or EXPIRED
  2    wrong usage, or an argument that the service refuses
  3    no such task
  4    the service cannot be reached, or is not available
  5    anything else
  124  timed out
  130  interrupted
`;

/** The exit code of what a command failed with. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof Interrupted) return exitCodes.interrupted;
  if (error instanceof UsageError) return exitCodes.usage;
  if (!(error instanceof TaskwatchError)) return exitCodes.other;
  switch (error.code) {
    case "INVALID_ARGUMENT":
      return exitCodes.usage;
    case "NOT_FOUND":
      return exitCodes.notFound;
    case "UNAVAILABLE":
      return exitCodes.unavailable;
    case "DEADLINE_EXCEEDED":
      return exitCodes.timedOut;
    default:
      return exitCodes.other;
  }
}

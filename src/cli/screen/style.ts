import { styleText } from "node:util";

import type { TaskState } from "../../client/status/task-status.ts";
import type { Io, TextOutput } from "../io.ts";

/** What text is about. */
export type Accent = "good" | "bad" | "busy" | "waiting" | "faint" | "strong";

/** Sets text off, or leaves it as it is where there are no colours. */
export type Style = (accent: Accent, text: string) => string;

const formats = {
  good: "green",
  bad: "red",
  busy: "cyan",
  waiting: "yellow",
  faint: "dim",
  strong: "bold",
} as const;

/** Colours on a terminal, unless the environment says NO_COLOR. */
export function styleOf(output: TextOutput, { environment }: Pick<Io, "environment">): Style {
  const refused = environment["NO_COLOR"] !== undefined && environment["NO_COLOR"] !== "";
  if (!output.isTerminal || refused) return plainStyle;
  return (accent, text) => styleText(formats[accent], text, { validateStream: false });
}

/** No colours. */
export const plainStyle: Style = (_accent, text) => text;

/** What a state is to the eye. */
export function accentOf(state: TaskState): Accent {
  switch (state) {
    case "SUCCEEDED":
      return "good";
    case "FAILED":
    case "EXPIRED":
      return "bad";
    case "RUNNING":
      return "busy";
    case "CANCELLED":
    case "UNSPECIFIED":
      return "faint";
    default:
      return "waiting";
  }
}

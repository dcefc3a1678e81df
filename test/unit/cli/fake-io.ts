import { Interrupted } from "../../../src/cli/cli-errors.ts";
import type { Io, TextOutput } from "../../../src/cli/io.ts";

/** An output that keeps what is written to it. */
export interface FakeOutput extends TextOutput {
  text: string;
  columns: number;
  rows: number;
  resize(columns: number): void;
}

export function fakeOutput(isTerminal = false, columns = 80): FakeOutput {
  const listeners = new Set<() => void>();
  return {
    text: "",
    isTerminal,
    columns,
    rows: 24,
    write(text) {
      this.text += text;
    },
    onResize: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    resize(width) {
      this.columns = width;
      for (const listener of listeners) listener();
    },
  };
}

/** A command line without a process. */
export interface FakeIo extends Io {
  readonly out: FakeOutput;
  readonly err: FakeOutput;
  interrupt(): void;
}

export function fakeIo({
  terminal = false,
  input = "",
  environment = {},
}: { terminal?: boolean; input?: string; environment?: Record<string, string> } = {}): FakeIo {
  const controller = new AbortController();
  return {
    out: fakeOutput(terminal),
    err: fakeOutput(terminal),
    environment,
    interrupted: controller.signal,
    insisted: new AbortController().signal,
    readInput: () => Promise.resolve(new TextEncoder().encode(input)),
    interrupt: () => controller.abort(new Interrupted()),
  };
}

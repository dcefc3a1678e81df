import type { TextOutput } from "../io.ts";
import { textWidth } from "./screen-text.ts";

const hideCursor = "\u001B[?25l";
const showCursor = "\u001B[?25h";
const clearBelow = "\u001B[J";
const frameMs = 100;

/** What to show where so much fits. */
export type Render = (size: { readonly columns: number; readonly rows: number }) => readonly string[];

/** Lines at the end of a terminal that are drawn again and again in the same place. The last frame stays. */
export class LiveScreen implements Disposable {
  readonly #output: TextOutput;
  readonly #render: Render;
  readonly #timer: NodeJS.Timeout;
  readonly #stopListening: () => void;
  #lines: readonly string[] = [];
  #columns = 0;
  #closed = false;

  constructor(output: TextOutput, render: Render) {
    this.#output = output;
    this.#render = render;
    output.write(hideCursor);
    this.#stopListening = output.onResize(() => this.draw());
    this.#timer = setInterval(() => this.draw(), frameMs);
    this.draw();
  }

  /** Draws now what has changed. */
  draw(): void {
    const { columns, rows } = this.#output;
    // The last column stays free, because some terminals break the line when it is written; so does the last row, for the cursor.
    const lines = this.#render({ columns: columns - 1, rows: rows - 1 });
    if (this.#columns === columns && sameLines(lines, this.#lines)) return;
    this.#output.write(this.#toTop(columns) + clearBelow + lines.map((line) => `${line}\n`).join(""));
    this.#lines = lines;
    this.#columns = columns;
  }

  /** Writes text above the lines, where it stays. */
  print(text: string): void {
    this.#output.write(this.#toTop(this.#output.columns) + clearBelow + text);
    this.#lines = [];
    this.draw();
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#stopListening();
    this.draw();
    this.#output.write(showCursor);
  }

  /** A terminal that has become narrower shows some of the lines on several rows. */
  #toTop(columns: number): string {
    const rows = this.#lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(textWidth(line) / columns)), 0);
    return rows === 0 ? "\r" : `\u001B[${rows}A\r`;
  }
}

function sameLines(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((line, index) => line === right[index]);
}

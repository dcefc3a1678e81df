/** What a terminal shows after this text. It knows as much of the language of terminals as the command line uses. */
export function screenAfter(text: string, columns: number): { lines: readonly string[]; cursor: boolean } {
  const terminal = new FakeTerminal(columns);
  // The first part comes before any command.
  for (const [index, part] of text.split("\u001B[").entries()) {
    const command = index === 0 ? undefined : /^(?<argument>\??\d*)(?<letter>[A-Za-z])/.exec(part);
    if (command === null) throw new Error(`not a command: ${JSON.stringify(part.slice(0, 10))}`);
    if (command !== undefined) terminal.obey(command.groups?.["letter"] ?? "", command.groups?.["argument"] ?? "");
    for (const character of part.slice(command?.[0].length ?? 0)) terminal.type(character);
  }
  return { lines: terminal.lines, cursor: terminal.cursor };
}

class FakeTerminal {
  readonly #columns: number;
  lines: string[] = [""];
  cursor = true;
  #row = 0;
  #column = 0;

  constructor(columns: number) {
    this.#columns = columns;
  }

  obey(letter: string, argument: string): void {
    switch (letter) {
      case "A":
        this.#row -= Number(argument);
        if (this.#row < 0) throw new Error("the cursor left the top");
        break;
      case "J":
        this.lines = [...this.lines.slice(0, this.#row), this.#line.slice(0, this.#column)];
        break;
      case "l":
      case "h":
        this.cursor = letter === "h";
        break;
      case "m":
        break;
      default:
        throw new Error(`unknown command ${argument}${letter}`);
    }
  }

  type(character: string): void {
    if (character === "\r") {
      this.#column = 0;
      return;
    }
    if (character === "\n" || this.#column === this.#columns) {
      this.#row += 1;
      this.#column = 0;
      this.lines[this.#row] ??= "";
    }
    if (character === "\n") return;
    const line = this.#line.padEnd(this.#column);
    this.lines[this.#row] = line.slice(0, this.#column) + character + line.slice(this.#column + 1);
    this.#column += 1;
  }

  get #line(): string {
    return this.lines[this.#row] ?? "";
  }
}

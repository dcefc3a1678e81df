import { padText, textWidth } from "./screen-text.ts";

/** Rows in columns, each as wide as its widest cell, two spaces apart; nothing is padded at the end of a line. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, textWidth(cell));
  }
  return rows
    .map((row) =>
      row
        .map((cell, index) => padText(cell, widths[index] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

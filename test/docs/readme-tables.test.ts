import { readFile, writeFile } from "node:fs/promises";

import { expect, test } from "vitest";

import { markedPart, readmeTables, withMarkedPart } from "../support/readme-tables.ts";

const readme = new URL("../../README.md", import.meta.url);
const tables = await readmeTables();

// With UPDATE_DOCS=1 the README is written instead of checked.
test.each(Object.entries(tables))("the %s table of the README says what the code says", async (name, table) => {
  const text = await readFile(readme, "utf8");
  if (process.env["UPDATE_DOCS"] === "1") {
    await writeFile(readme, withMarkedPart(text, name, table));
    return;
  }
  expect(unaligned(markedPart(text, name))).toBe(unaligned(table));
});

/** The formatter aligns columns, which says nothing. */
function unaligned(table: string): string {
  return table.replaceAll(/ *\| */g, "|").replaceAll(/-+/g, "-");
}

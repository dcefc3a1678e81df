import { stripVTControlCharacters } from "node:util";

const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u;
const segmenter = new Intl.Segmenter();

/** Text from elsewhere, fit for a terminal: on one line, without anything that would move the cursor or ring the bell. */
export function plainText(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll(/\p{Control}+/gu, " ")
    .replaceAll(/[\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "");
}

/** How many columns it takes, styles not counted. */
export function textWidth(text: string): number {
  let width = 0;
  for (const { segment } of segmenter.segment(stripVTControlCharacters(text))) width += wide.test(segment) ? 2 : 1;
  return width;
}

/** Plain text, cut to at most so many columns. */
export function clipText(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let clipped = "";
  let width = 0;
  for (const { segment } of segmenter.segment(text)) {
    width += textWidth(segment);
    if (width > columns - 1) break;
    clipped += segment;
  }
  return columns < 1 ? "" : `${clipped}…`;
}

/** Filled up with spaces to so many columns. */
export function padText(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - textWidth(text)));
}

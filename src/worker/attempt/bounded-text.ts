const encoder = new TextEncoder();

/** The start of a text, at most `maxBytes` long as UTF-8. A cut is marked by an ellipsis; no character is cut in two. */
export function cutToBytes(text: string, maxBytes: number): string {
  // A character takes at most three bytes for each of its UTF-16 units.
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  const { read } = encoder.encodeInto(text, new Uint8Array(Math.max(0, maxBytes - 3)));
  return `${text.slice(0, read)}…`;
}

/** The start of a text, at most `maxCharacters` long. */
export function cutToCharacters(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) return text;
  return Array.from(text.slice(0, maxCharacters * 2))
    .slice(0, maxCharacters)
    .join("");
}

/** The text on one line, and such that it can be encoded. */
export function oneLine(text: string): string {
  return (/\s*[\r\n]\s*/.test(text) ? text.trim().replaceAll(/\s*[\r\n]+\s*/g, " ") : text).toWellFormed();
}

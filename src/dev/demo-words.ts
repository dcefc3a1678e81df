import { FatalError } from "../worker/index.ts";

/** More different words than this are no text that anybody wrote. */
const mostDistinct = 500_000;
/** What is longer is no word but data that happens to consist of letters; it is counted by its beginning. */
const longestWord = 100;

/**
 * Adds the words of one file to the counts, in lower case. A word is letters and digits, with apostrophes inside it.
 *
 * @returns false, and counts nothing, where the file is no text: its first chunk has a zero byte.
 * @throws {FatalError} `TOO_MANY_WORDS` where there are more than half a million different ones.
 */
export async function countWords(chunks: AsyncIterable<Uint8Array>, counts: Map<string, number>): Promise<boolean> {
  const decoder = new TextDecoder();
  let rest = "";
  let isFirst = true;
  for await (const chunk of chunks) {
    if (isFirst && chunk.includes(0)) return false;
    isFirst = false;
    rest = countAllButLast(rest + decoder.decode(chunk, { stream: true }), counts);
    if (counts.size > mostDistinct) {
      throw new FatalError("TOO_MANY_WORDS", `there are more than ${mostDistinct} different words`);
    }
  }
  countAllButLast(`${rest}${decoder.decode()} `, counts);
  return true;
}

/** A word at the very end may go on in the next chunk: it is given back. */
function countAllButLast(text: string, counts: Map<string, number>): string {
  for (const match of text.matchAll(/[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*['’]?/gu)) {
    if (match.index + match[0].length === text.length) return match[0].slice(0, longestWord);
    const word = match[0].replace(/['’]$/, "").slice(0, longestWord).toLowerCase();
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return "";
}

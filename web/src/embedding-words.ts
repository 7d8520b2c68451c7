/** @file The words of textual inversions in a prompt: found with their places, added and removed. */

export type EmbeddingWord = { token: string; start: number; end: number };

/**
 * Each that a prompt names, at its first place. With A1111's grammar only whole words count, in any case; without it the
 * spelling alone, also inside other words.
 */
export function embeddingWords(
  prompt: string,
  tokens: readonly string[],
  byGrammar: boolean,
): EmbeddingWord[] {
  if (tokens.length === 0) return [];
  const longestFirst = [...tokens].sort((a, b) => b.length - a.length).map(literal);
  const any = `(?:${longestFirst.join("|")})`;
  const pattern = byGrammar
    ? new RegExp(`(?<![\\p{L}\\p{N}_])${any}(?![\\p{L}\\p{N}_])`, "giu")
    : new RegExp(any, "gu");
  const found = new Map<string, EmbeddingWord>();
  for (const { index: start, 0: text } of prompt.matchAll(pattern)) {
    const isIt = (token: string) => (byGrammar ? sameInAnyCase(token, text) : token === text);
    const token = tokens.find(isIt) ?? text;
    if (!found.has(token)) found.set(token, { token, start, end: start + text.length });
  }
  return [...found.values()];
}

export const withEmbedding = (prompt: string, token: string): string =>
  /\S/.test(prompt) ? `${prompt.replace(/[\s,]+$/, "")}, ${token}` : token;

/** Without the word, brackets that hold nothing but it and its weight, and the comma that separated it. */
export function withoutEmbedding(prompt: string, { start, end }: EmbeddingWord): string {
  let [before, after] = [prompt.slice(0, start), prompt.slice(end)];
  for (;;) {
    const close = /^(?::[-+\d.]*)?[)\]]/.exec(after);
    if (!close || !/[([]$/.test(before)) break;
    [before, after] = [before.slice(0, -1), after.slice(close[0].length)];
  }
  if (/^\s*$/.test(after)) return before.replace(/[\s,]+$/, "");
  return /(^|[\s,([])$/.test(before) ? before + after.replace(/^[\s,]+/, "") : before + after;
}

const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

const sameInAnyCase = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

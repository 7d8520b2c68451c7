/**
 * @file A vocabulary of the small model's own in CLIP's format: byte-level byte-pair encoding (Sennrich et al. 2016),
 * learnt from captions.
 */

import { byteLetters, merged, wordEnd } from "../src/text/bpe.js";
import { wordPattern } from "../src/text/tokenizer.js";

export type Vocabulary = { vocab: Record<string, number>; merges: string };

/**
 * At most `most` merges, the most frequent pair first (of equals, the one first met), until every word that stands at
 * least twice is one token. The end token has the highest id, as CLIP's pooling wants it.
 */
export function learnVocabulary(captions: Iterable<string>, most: number): Vocabulary {
  const letters = byteLetters();
  const counts = new Map<string, number>();
  for (const caption of captions)
    for (const [word] of caption.toLowerCase().matchAll(wordPattern))
      counts.set(word, (counts.get(word) ?? 0) + 1);
  let words = [...counts].map(([word, count]) => {
    const parts = Array.from(new TextEncoder().encode(word), (byte) => letters[byte]!);
    parts.push(parts.pop()! + wordEnd);
    return { parts, count };
  });
  const merges: string[] = [];
  while (merges.length < most) {
    const pair = mostFrequent(words);
    if (pair === undefined) break;
    merges.push(pair);
    words = words.map(({ parts, count }) => ({ parts: merged(parts, pair), count }));
  }
  const tokens = [
    ...letters,
    ...letters.map((letter) => letter + wordEnd),
    ...merges.map((pair) => pair.replace(" ", "")),
    "<|startoftext|>",
    "<|endoftext|>",
  ];
  return {
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    merges: `#version: 0.2\n${merges.join("\n")}\n`,
  };
}

type Word = { parts: readonly string[]; count: number };

function mostFrequent(words: readonly Word[]): string | undefined {
  const counts = new Map<string, number>();
  for (const { parts, count } of words)
    for (let i = 1; i < parts.length; i++) {
      const pair = `${parts[i - 1]} ${parts[i]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  let [best, highest]: [string | undefined, number] = [undefined, 1];
  for (const [pair, count] of counts) if (count > highest) [best, highest] = [pair, count];
  return best;
}

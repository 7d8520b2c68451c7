/** @file Byte-level byte-pair encoding with CLIP's end-of-word mark. */

/** The letter of each byte in the vocabulary (Radford et al. 2019, GPT-2's `bytes_to_unicode`). */
export function byteLetters(): string[] {
  let unprintable = 0;
  const printable = (b: number) => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : 256 + unprintable++));
}

export const wordEnd = "</w>";

/** Splits a word of byte letters into vocabulary entries by the merges' ranks (Sennrich et al. 2016). */
export function mergeWord(letters: string, ranks: ReadonlyMap<string, number>): string[] {
  let parts = [...letters];
  parts.push(parts.pop()! + wordEnd);
  while (parts.length > 1) {
    const best = lowestRank(parts, ranks);
    if (best === undefined) break;
    parts = merged(parts, best);
  }
  return parts;
}

function lowestRank(parts: readonly string[], ranks: ReadonlyMap<string, number>): string | undefined {
  let best: string | undefined;
  let lowest = Number.POSITIVE_INFINITY;
  for (let i = 1; i < parts.length; i++) {
    const pair = `${parts[i - 1]} ${parts[i]}`;
    const rank = ranks.get(pair) ?? Number.POSITIVE_INFINITY;
    if (rank < lowest) [lowest, best] = [rank, pair];
  }
  return best;
}

/** `parts` with every "left right" of `pair` joined, from the left. */
export function merged(parts: readonly string[], pair: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    const found = i + 1 < parts.length && `${parts[i]} ${parts[i + 1]}` === pair;
    out.push(found ? parts[i]! + parts[++i]! : parts[i]!);
  }
  return out;
}

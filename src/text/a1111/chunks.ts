/**
 * @file Cuts the tokens of a prompt into chunks of the text encoder's length, which it reads one by one. The rules are
 * those of AUTOMATIC1111's `tokenize_line` (sd_hijack_clip.py); with plain text and no backtracking, simply every 75.
 */

import { type Fragment, isBreak } from "./attention.js";

/** What the encoder reads at once: ids with start, end and padding, and the weight of each. */
export type Chunk = { ids: readonly number[]; weights: readonly number[] };

/** A word that stands for learned vectors: the ids of its text, and those of its vectors. */
type LearnedWord = { ids: readonly number[]; vectors: readonly number[] };

/** How texts become ids. */
export type ChunkTokenizer = {
  /** Ids of a text, without start and end. */
  tokenIds: (text: string) => readonly number[];
  bosId: number;
  eosId: number;
  padId: number;
  /** The id of a comma at the end of a word. */
  commaId: number | undefined;
};

export type ChunkOptions = {
  /** Tokens that the encoder reads, start and end included: 77 of CLIP. */
  maxTokens: number;
  /** How many tokens behind a comma move to the next chunk rather than being cut from it; 0 for none. */
  backtrack?: number;
  learned?: readonly LearnedWord[];
};

/** At least one chunk, of a text without tokens. */
export function chunksOf(
  fragments: readonly Fragment[],
  tokenizer: ChunkTokenizer,
  { maxTokens, backtrack = 20, learned = [] }: ChunkOptions,
): Chunk[] {
  const room = maxTokens - 2;
  const chunks: Chunk[] = [];
  let ids: number[] = [];
  let weights: number[] = [];
  let lastComma = -1;
  const next = () => {
    chunks.push(framed(ids, weights, tokenizer, maxTokens));
    [ids, weights, lastComma] = [[], [], -1];
  };
  /** Takes what stands behind the last comma along into a new chunk. */
  const nextFromComma = () => {
    const [movedIds, movedWeights] = [ids.splice(lastComma + 1), weights.splice(lastComma + 1)];
    next();
    [ids, weights] = [movedIds, movedWeights];
  };
  const wordAt = learnedWords(learned);
  for (const fragment of fragments) {
    if (isBreak(fragment)) {
      next();
      continue;
    }
    const tokens = tokenizer.tokenIds(fragment.text);
    for (let at = 0; at < tokens.length; ) {
      const token = tokens[at]!;
      const near = lastComma !== -1 && ids.length - lastComma <= backtrack;
      if (token === tokenizer.commaId) lastComma = ids.length;
      else if (ids.length === room && near) nextFromComma();
      if (ids.length === room) next();
      const word = wordAt(tokens, at);
      const added = word ? word.vectors.slice(0, room) : [token];
      // Learned vectors are never split.
      if (ids.length + added.length > room) next();
      ids.push(...added);
      weights.push(...added.map(() => fragment.weight));
      at += word ? word.ids.length : 1;
    }
  }
  if (ids.length > 0 || chunks.length === 0) next();
  return chunks;
}

/** A chunk without words, as shorter prompts are padded with. */
export const emptyChunk = (tokenizer: ChunkTokenizer, maxTokens: number): Chunk =>
  framed([], [], tokenizer, maxTokens);

function framed(
  ids: readonly number[],
  weights: readonly number[],
  { bosId, eosId, padId }: Pick<ChunkTokenizer, "bosId" | "eosId" | "padId">,
  maxTokens: number,
): Chunk {
  const padding = maxTokens - 2 - ids.length;
  return {
    ids: [bosId, ...ids, eosId, ...new Array<number>(padding).fill(padId)],
    weights: [1, ...weights, 1, ...new Array<number>(padding).fill(1)],
  };
}

/** Finds the longest learned word whose ids begin at a place. */
function learnedWords(learned: readonly LearnedWord[]) {
  const byFirst = new Map<number, LearnedWord[]>();
  for (const word of learned) {
    const [first] = word.ids;
    if (first !== undefined) byFirst.set(first, [...(byFirst.get(first) ?? []), word]);
  }
  for (const words of byFirst.values()) words.sort((a, b) => b.ids.length - a.ids.length);
  return (tokens: readonly number[], at: number): LearnedWord | undefined =>
    byFirst.get(tokens[at]!)?.find(({ ids }) => ids.every((id, i) => tokens[at + i] === id));
}

/** @file Which tokens of the text states are a prompt's, and which of them make a word. */

import { wordEnd } from "../../text/bpe.js";
import type { ClipTokenizer } from "../../text/tokenizer.js";
import type { CheckedRequest } from "../request.js";
import type { TextEncoder } from "../text-encoding.js";
import type { PlannedPrompt, TextPlan } from "../text-plan.js";
import type { AttentionWord } from "./maps.js";

/** A prompt's tokens; `places` are theirs in the text states, of which further chunks follow the first. */
export type PromptTokens = {
  tokens: readonly string[];
  places: readonly number[];
  words: readonly AttentionWord[];
};

/** Of each prompt, which is one text in all steps; warns of a second encoder's own text. */
export function promptTokens(
  plan: TextPlan,
  [encoder]: readonly TextEncoder[],
  { prompt, prompts, prompt2, warnings }: CheckedRequest,
): PromptTokens[] {
  if (prompt2 !== undefined && prompt2 !== prompt)
    warnings.add("attentionMaps: tokens and words are those of prompt, not of prompt2.");
  return plan.prompts.map((parts, i) => {
    const [only] = parts as [PlannedPrompt, ...PlannedPrompt[]];
    const found = tokensOf(only.texts[0]!.chunks[0]!, encoder!);
    return { ...found, words: asWritten(found.words, prompts[i]!) };
  });
}

function tokensOf(
  chunks: readonly { ids: readonly number[] }[],
  { tokenizer, config }: TextEncoder,
): PromptTokens {
  const spelled = (id: number) => tokenizer.data.tokens.get(id) ?? "";
  const found = chunks.flatMap(({ ids }, chunk) => {
    const end = ids.indexOf(tokenizer.eosId, 1);
    return ids.slice(1, end).map((id, i) => ({ id, place: chunk * config.maxTokens + 1 + i }));
  });
  const first = chunks[0]!.ids;
  const after = (found.at(-1)?.place ?? 0) + 1;
  return {
    tokens: [first[0]!, ...found.map(({ id }) => id), tokenizer.eosId].map(spelled),
    places: [0, ...found.map(({ place }) => place), after],
    words: wordsOf(
      found.map(({ id }) => id),
      tokenizer,
    ),
  };
}

/** A token that does not end a word goes on in the next; all vectors of a textual inversion are one word. */
function wordsOf(ids: readonly number[], tokenizer: ClipTokenizer): AttentionWord[] {
  const { data, vectorTokens } = tokenizer;
  const groups: { name?: string; from: number; to: number }[] = [];
  let open = false;
  for (let at = 0; at < ids.length; ) {
    const learned = vectorTokens.find(({ ids: own }) => own.every((id, i) => ids[at + i] === id));
    const to = at + (learned?.ids.length ?? 1);
    if (open && !learned) groups.at(-1)!.to = to;
    else groups.push({ ...(learned && { name: learned.token }), from: at, to });
    open = !learned && !data.tokens.get(ids[at]!)?.endsWith(wordEnd);
    at = to;
  }
  return groups.map(({ name, from, to }) => ({
    word: name ?? tokenizer.decode(ids.slice(from, to)),
    tokens: Array.from({ length: to - from }, (_, i) => 1 + from + i), // the start is token 0
  }));
}

/** Words in the prompt's own capitals, which the tokenizer takes away; those that it changed otherwise stay. */
function asWritten(words: readonly AttentionWord[], prompt: string): AttentionWord[] {
  const lower = prompt.toLowerCase();
  if (lower.length !== prompt.length) return [...words];
  let from = 0;
  return words.map(({ word, tokens }) => {
    const at = lower.indexOf(word, from);
    if (at === -1) return { word, tokens };
    from = at + word.length;
    return { word: prompt.slice(at, from), tokens };
  });
}

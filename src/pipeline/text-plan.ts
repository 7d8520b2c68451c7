/**
 * @file Plans the encoding of prompts: which texts the steps of a run see, and the chunks of tokens that the text encoders
 * read of each. Runs no network.
 */

import { InvalidRequest } from "../errors.js";
import { type Chunk, type ChunkOptions, chunksOf, emptyChunk } from "../text/a1111/chunks.js";
import { learnedBy } from "../text/a1111/learned-words.js";
import { fragmentsOf, scheduled } from "../text/prompt-rules.js";
import { cutWarning } from "../text/token-count.js";
import type { CheckedRequest } from "./request.js";
import type { TextEncoder } from "./text-encoding.js";

/** One text: its chunks for each encoder, all of one number. */
export type PlannedText = { chunks: readonly (readonly Chunk[])[]; calls: number };

/** A prompt, or one that it is composed of: its texts, and which calls see which. */
export type PlannedPrompt = {
  field: string;
  weight: number;
  texts: readonly PlannedText[];
  /** `text` is an index of `texts`. */
  schedule: readonly { until: number; text: number }[];
  /** Chunks of each of its texts. */
  length: number;
};

/** "zeros": embeddings of zeros, which SDXL models have for no negative prompt. */
export type TextPlan = {
  prompts: readonly (readonly PlannedPrompt[])[];
  negatives: readonly (PlannedPrompt | "zeros")[];
  /** Tokens of the longest prompt. */
  tokens: number;
};

export type PlanOptions = {
  encoders: readonly TextEncoder[];
  /** Calls of the network that a schedule counts: steps, or twice as many for a sampler of second order. */
  calls: number;
  /** Whether a prompt's negative one is replaced by zeros. */
  zeros: (negative: string | undefined) => boolean;
};

/** Chunks of all texts of a request together. Each is a run of the text encoder. */
const mostChunks = 2000;

export function planTexts(request: CheckedRequest, { encoders, calls, zeros }: PlanOptions): TextPlan {
  const { compositions, prompts2, negativePrompts, negativePrompts2, guided, padConditions } = request;
  const of = (field: string, texts: readonly string[], weight: number, prompt: number) =>
    planned(request, encoders, { field, texts, weight, prompt, calls });
  const prompts = compositions.map((parts, i) =>
    parts.map(({ text, weight }) => of("prompt", bySecond(text, request, prompts2[i]!), weight, i)),
  );
  const negatives = !guided
    ? []
    : compositions.map((_, i) => {
        const text = negativePrompts?.[i];
        if (zeros(text)) return "zeros";
        return of("negative prompt", [text ?? "", negativePrompts2?.[i] ?? text ?? ""], 1, i);
      });
  const all = [...prompts.flat(), ...negatives.filter((one) => one !== "zeros")];
  refuseMany(request, all);
  const tokens = encoders[0]!.config.maxTokens * Math.max(...all.map(({ length }) => length));
  if (!padConditions) return { prompts, negatives, tokens };
  const longest = prompts.map((parts, i) => longestOf([...parts, ...onlyTexts(negatives[i])]));
  return {
    prompts: prompts.map((parts, i) => parts.map((part) => padded(part, longest[i]!, encoders))),
    negatives: negatives.map((one, i) => (one === "zeros" ? one : padded(one, longest[i]!, encoders))),
    tokens,
  };
}

/** Only SDXL's second encoder may have a text of its own. */
const bySecond = (text: string, { prompt2 }: CheckedRequest, second: string): string[] =>
  prompt2 === undefined ? [text, text] : [text, second];

const onlyTexts = (one: PlannedPrompt | "zeros" | undefined): PlannedPrompt[] =>
  one === undefined || one === "zeros" ? [] : [one];

const longestOf = (prompts: readonly PlannedPrompt[]): number =>
  Math.max(...prompts.map(({ length }) => length));

type PromptSource = {
  field: string;
  /** The text for each encoder. */
  texts: readonly string[];
  weight: number;
  /** The index of the prompt that it belongs to. */
  prompt: number;
  calls: number;
};

function planned(
  request: CheckedRequest,
  encoders: readonly TextEncoder[],
  { field, texts, weight, prompt, calls }: PromptSource,
): PlannedPrompt {
  const [first, second] = texts as [string, string];
  const entries = scheduled(first, request.promptSyntax, calls);
  const distinct = [...new Set(entries.map(({ text }) => text))];
  const chunked = distinct.map((text) =>
    encoders.map((encoder, e) => {
      // With a text of its own for the second encoder there is no schedule.
      const own = e === 0 || second === first ? text : second;
      const name = own === text ? field : `second ${field}`;
      return textChunks(encoder, own, { field: name, prompt, request });
    }),
  );
  const length = Math.max(...chunked.flat().map((chunks) => chunks.length));
  const plan: PlannedPrompt = {
    ...{ field, weight, length },
    texts: chunked.map((chunks, i) => ({
      chunks,
      calls: entries.filter(({ text }) => text === distinct[i]).length,
    })),
    schedule: entries.map(({ until, text }) => ({ until, text: distinct.indexOf(text) })),
  };
  return padded(plan, length, encoders);
}

/** With chunks without words up to a length. */
function padded(prompt: PlannedPrompt, length: number, encoders: readonly TextEncoder[]): PlannedPrompt {
  const filled = (chunks: readonly Chunk[], { tokenizer, config }: TextEncoder) => [
    ...chunks,
    ...Array.from({ length: length - chunks.length }, () => emptyChunk(tokenizer, config.maxTokens)),
  ];
  const texts = prompt.texts.map(({ chunks, calls }) => ({
    calls,
    chunks: chunks.map((own, e) => filled(own, encoders[e]!)),
  }));
  return { ...prompt, texts, length };
}

type ChunkedText = { field: string; prompt: number; request: CheckedRequest };

/** The chunks of a text; with `longPrompts: "cut"` the first, and a warning that quotes the rest. */
function textChunks(encoder: TextEncoder, text: string, { field, prompt, request }: ChunkedText): Chunk[] {
  const { promptSyntax, longPrompts, warnings } = request;
  const { tokenizer, config } = encoder;
  const { maxTokens } = config;
  if (promptSyntax === "none" && longPrompts === "cut") {
    const { ids, truncated } = tokenizer.encode(text, { maxLength: maxTokens });
    if (truncated !== undefined) warnings.add(cutWarning(field, maxTokens, truncated), prompt);
    return [{ ids: [...ids], weights: [] }];
  }
  const { read, learned } = learnedBy(tokenizer, promptSyntax === "a1111");
  const options: ChunkOptions = { maxTokens, learned, backtrack: promptSyntax === "a1111" ? 20 : 0 };
  const chunks = chunksOf(fragmentsOf(text, promptSyntax, fieldOf(field)), read, options);
  if (longPrompts === "chunks" || chunks.length === 1) return chunks;
  const rest = chunks.slice(1).flatMap(({ ids }) => ids.slice(1, ids.indexOf(tokenizer.eosId, 1)));
  warnings.add(cutWarning(field, maxTokens, tokenizer.decode(rest)), prompt);
  return chunks.slice(0, 1);
}

/** The request's field of a text that is called "negative prompt". */
const fieldOf = (name: string): string => name.replace(/ (.)/g, (_, letter: string) => letter.toUpperCase());

function refuseMany(request: CheckedRequest, prompts: readonly PlannedPrompt[]): void {
  const chunks = prompts.reduce((sum, { texts, length }) => sum + texts.length * length, 0);
  if (chunks <= mostChunks) return;
  const rule = `must have at most ${mostChunks} chunks of tokens, over all texts of its schedules, got ${chunks}`;
  throw new InvalidRequest("prompt", request.prompt, `${rule}. Shorten it, or edit less of it.`);
}

/** The most rows that one run of the U-Net has, and the tokens of its longest text. */
export function largestCall(
  { prompts, negatives, tokens }: TextPlan,
  perPrompt: number,
): { passes: number; tokens: number } {
  const rows = new Map<number, number>();
  const add = (length: number) => rows.set(length, (rows.get(length) ?? 0) + perPrompt);
  for (const parts of prompts) for (const _ of parts) add(longestOf(parts));
  for (const [i, one] of negatives.entries()) add(one === "zeros" ? longestOf(prompts[i]!) : one.length);
  return { passes: Math.max(...rows.values()), tokens };
}

/** "prompt and negative prompt": what a plan encodes, for an error. */
export const fieldsOf = ({ prompts, negatives }: TextPlan): string =>
  [...new Set([...prompts.flat(), ...negatives.flatMap(onlyTexts)].map(({ field }) => field))].join(" and ");

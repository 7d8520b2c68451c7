/**
 * @file Encodes planned prompts: runs the text encoders on their chunks, weighs the results, and joins them to what the
 * U-Net reads of a prompt at each call. N tokens of text, D width of all encoders together.
 */

import { InvalidRequest } from "../errors.js";
import type { Chunk } from "../text/a1111/chunks.js";
import { entryAt } from "../text/a1111/editing.js";
import type { Component } from "./component.js";
import type { Conditions, EncodedPrompt, TextState } from "./conditioning.js";
import type { CheckedRequest } from "./request.js";
import { encodeIds, type Pooling, type StateRule, type TextEncoder } from "./text-encoding.js";
import { fieldsOf, type PlannedPrompt, type PlannedText, type TextPlan } from "./text-plan.js";
import { type EncodedRow, stateKey, textStatesOf } from "./text-state-cache.js";

/** What a class of pipelines adds to the encoding of texts. */
export type TextRules = {
  /** Whether zeros stand for a negative prompt; undefined where none was given. */
  zeros: (negative: string | undefined) => boolean;
  /** Whether the U-Net reads the last encoder's pooled vector. */
  pooled: boolean;
  /** SDXL's size conditions, and those of the negative prompt. */
  timeIds: readonly [Float32Array, Float32Array] | undefined;
};

type Encoding = Pick<TextRules, "pooled" | "timeIds"> & {
  encoders: readonly TextEncoder[];
  rule: StateRule;
  /** Without A1111's syntax, which pools at the end token. */
  pooling: Pooling;
  /** Called before an encoder runs, which it need not for texts that it encoded before. */
  loaded: (component: Component) => Promise<void>;
};

/** What the U-Net reads of each prompt, and of its negative one. */
export async function encodeConditions(
  plan: TextPlan,
  request: CheckedRequest,
  encoding: Encoding,
): Promise<Conditions> {
  const { prompts, negatives } = plan;
  const texts = negatives.filter((one) => one !== "zeros");
  const encoders: EncodedRows[] = [];
  for (const e of encoding.encoders.keys()) {
    encoders.push(await encodedRows([...prompts.flat(), ...texts], e, request, encoding, fieldsOf(plan)));
  }
  const how = { request, encoders, pooled: encoding.pooled };
  const all = prompts.map((parts) => ofOneLength(parts.map((part) => encodedPrompt(part, how, "skipped"))));
  // Diffusers' clip_skip is of the prompt alone; A1111's is of both.
  const state = request.promptSyntax === "a1111" ? "skipped" : "plain";
  return {
    prompts: all.map((parts) => parts.map(atCall)),
    negatives: request.guided
      ? negatives.map((one, i) =>
          atCall(one === "zeros" ? blank(all[i]![0]!) : encodedPrompt(one, how, state)),
        )
      : undefined,
    timeIds: encoding.timeIds?.[0],
    negativeTimeIds: encoding.timeIds?.[1],
  };
}

/** The states of a prompt's texts, by their index. */
type States = Pick<PlannedPrompt, "weight" | "schedule"> & { states: readonly TextState[] };

const atCall = ({ weight, schedule, states }: States): EncodedPrompt => ({
  weight,
  at: (call) => states[schedule[entryAt(schedule, call)]!.text]!,
});

/** Zeros in place of a prompt, as long as one that it is guided from. */
function blank({ states: [first] }: States): States {
  const { hidden, tokens, pooled } = first!;
  const zeros = { hidden: new Float32Array(hidden.length), tokens };
  const state = pooled ? { ...zeros, pooled: new Float32Array(pooled.length) } : zeros;
  return { weight: 1, schedule: [{ until: 0, text: 0 }], states: [state] };
}

/** What one encoder gave for each row of ids. */
type EncodedRows = { of: (chunk: Chunk) => EncodedRow; width: number; maxTokens: number };

/** Rows of one run of an encoder. */
const rowsAtOnce = 32;

/** Each different chunk is encoded once, and not again while the encoder is open. */
async function encodedRows(
  prompts: readonly PlannedPrompt[],
  e: number,
  { clipSkip = 0, promptSyntax }: CheckedRequest,
  { encoders, rule, loaded, ...encoding }: Encoding,
  what: string,
): Promise<EncodedRows> {
  const encoder = encoders[e]!;
  const pooling = promptSyntax === "a1111" ? "end" : encoding.pooling;
  const chunks = prompts.flatMap(({ texts }) => texts.flatMap(({ chunks }) => chunks[e]!));
  const how = { rule, clipSkip, pooling };
  const { device } = encoder.component;
  const keyOf = (ids: ArrayLike<number>) => stateKey(ids, how, device);
  const rows = new Map(chunks.map(({ ids }) => [keyOf(ids), ids]));
  const known = textStatesOf(encoder);
  const found = new Map([...rows.keys()].map((key) => [key, known.get(key)]));
  const missing = [...rows].filter(([key]) => !found.get(key));
  if (missing.length > 0) await loaded(encoder.component);
  for (let from = 0; from < missing.length; from += rowsAtOnce) {
    const some = missing.slice(from, from + rowsAtOnce);
    const options = { ...how, stage: `its states of the ${what}` };
    const ids = some.map(([, ids]) => ids);
    const { skipped, plain, pooled } = await encodeIds(encoder, ids, options);
    for (const [i, [key]] of some.entries()) {
      const all = clipSkip === 0 ? skipped : plain; // the same numbers are kept once
      const row = { skipped: skipped[i]!, plain: all[i]!, pooled: pooled[i]! };
      found.set(key, row);
      known.set(key, row);
    }
  }
  const { width, maxTokens } = encoder.config;
  return { of: ({ ids }) => found.get(keyOf(ids))!, width, maxTokens };
}

type How = { request: CheckedRequest; encoders: readonly EncodedRows[]; pooled: boolean };

function encodedPrompt(prompt: PlannedPrompt, how: How, state: "skipped" | "plain"): States {
  const { texts, length, weight, schedule } = prompt;
  const { encoders, pooled } = how;
  const { maxTokens } = encoders[0]!;
  const D = encoders.reduce((sum, { width }) => sum + width, 0);
  const tokens = length * maxTokens;
  const factors = encoders.map((encoder, e) =>
    Array.from({ length }, (_, chunk) => restoringFactor(prompt, { how, encoder, e, chunk, state })),
  );
  const states = texts.map(({ chunks }): TextState => {
    const hidden = new Float32Array(tokens * D);
    let left = 0;
    for (const [e, encoder] of encoders.entries()) {
      for (const [c, chunk] of chunks[e]!.entries()) {
        const values = encoder.of(chunk)[state];
        for (let n = 0; n < maxTokens; n++) {
          const to = (c * maxTokens + n) * D + left;
          const row = values.subarray(n * encoder.width, (n + 1) * encoder.width);
          const scale = (chunk.weights[n] ?? 1) * factors[e]![c]!;
          if (scale === 1) hidden.set(row, to);
          else for (let i = 0; i < row.length; i++) hidden[to + i] = row[i]! * scale;
        }
      }
      left += encoder.width;
    }
    if (!pooled) return { hidden, tokens };
    return { hidden, tokens, pooled: encoders.at(-1)!.of(chunks.at(-1)![0]!).pooled };
  });
  return { weight, schedule, states };
}

type ChunkPlace = { how: How; encoder: EncodedRows; e: number; chunk: number; state: "skipped" | "plain" };

/**
 * A1111's emphasis "Original": weighting keeps the mean of a chunk, over all texts of the schedule (with one entry for each
 * of its steps) and all tokens together (sd_emphasis.py).
 */
function restoringFactor(
  { texts, field }: PlannedPrompt,
  { how: { request }, encoder, e, chunk, state }: ChunkPlace,
): number {
  const at = ({ chunks }: PlannedText) => chunks[e]![chunk]!;
  if (request.emphasis === "noNorm" || texts.every((text) => at(text).weights.every((w) => w === 1)))
    return 1;
  let [before, after] = [0, 0];
  for (const text of texts) {
    const { weights } = at(text);
    const values = encoder.of(at(text))[state];
    for (let n = 0; n < weights.length; n++) {
      let sum = 0;
      for (let i = n * encoder.width; i < (n + 1) * encoder.width; i++) sum += values[i]!;
      before += text.calls * sum;
      after += text.calls * weights[n]! * sum;
    }
  }
  const factor = before / after;
  if (Number.isFinite(factor)) return factor;
  const rule = "its weights must leave a mean to restore, got a mean of 0. Change one of them slightly.";
  throw new InvalidRequest(field === "prompt" ? "prompt" : "negativePrompt", undefined, rule);
}

/** Prompts of a composition have the length of the longest, by repeating the last token (`stack_conds`). */
function ofOneLength(prompts: readonly States[]): States[] {
  const tokens = Math.max(...prompts.map(({ states }) => states[0]!.tokens));
  return prompts.map((prompt) => ({
    ...prompt,
    states: prompt.states.map((state) => (state.tokens === tokens ? state : lengthened(state, tokens))),
  }));
}

function lengthened(state: TextState, tokens: number): TextState {
  const D = state.hidden.length / state.tokens;
  const hidden = new Float32Array(tokens * D);
  hidden.set(state.hidden);
  const last = state.hidden.subarray(-D);
  for (let n = state.tokens; n < tokens; n++) hidden.set(last, n * D);
  return { ...state, hidden, tokens };
}

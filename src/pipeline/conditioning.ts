/**
 * @file The U-Net's conditioning: for each of its calls the rows of a batch, with text states and size conditions. Rows of
 * one length of text go through it together.
 */

import type { Values } from "../engine/engine.js";
import { InvalidRequest } from "../errors.js";
import type { CheckedRequest } from "./request.js";
import { requestKind } from "./request-kind.js";

/** What the U-Net reads of a text: [tokens, D], and of SDXL's the pooled vector. */
export type TextState = { hidden: Float32Array; tokens: number; pooled?: Float32Array };

/** A prompt, or one of those that it is composed of; `at` is what a call sees, counted from 0. */
export type EncodedPrompt = { weight: number; at: (call: number) => TextState };

/** What the images of a request are conditioned on. */
export type Conditions = {
  /** Of each prompt the prompts that it is composed of, mostly one. */
  prompts: readonly (readonly EncodedPrompt[])[];
  /** Of each prompt; absent without guidance. */
  negatives: readonly EncodedPrompt[] | undefined;
  /** SDXL's size conditions: [6] */
  timeIds: Float32Array | undefined;
  negativeTimeIds: Float32Array | undefined;
  /** The guidance scale's embedding, for U-Nets that read it. */
  guidance?: Float32Array | undefined;
};

/** The U-Net's inputs besides latents and timestep. */
type Conditioning = Readonly<Record<string, Values>>;

/** A row of a call: its image in the batch, and the weight of its prediction; undefined for the negative prompt's. */
export type Row = { image: number; weight: number | undefined };

/** Rows that go through the U-Net together. */
type RowGroup = { rows: readonly Row[]; inputs: Conditioning };

/** The groups of a call, counted from 0. */
export type CallConditioning = (call: number) => readonly RowGroup[];

/** Of a batch with `perPrompt` images of each prompt: first the negative prompts' rows. */
export function conditioningByCall(conditions: Conditions, perPrompt: number): CallConditioning {
  const { negatives, prompts } = conditions;
  const images = prompts.flatMap((parts) => Array.from({ length: perPrompt }, () => parts));
  const negativeOf = (image: number) => negatives?.[Math.floor(image / perPrompt)];
  const unconditional = images.flatMap((_, image) => {
    const prompt = negativeOf(image);
    return prompt ? [{ image, weight: undefined, prompt }] : [];
  });
  const conditional = images.flatMap((parts, image) =>
    parts.map((prompt) => ({ image, weight: prompt.weight, prompt })),
  );
  const all: readonly PromptRow[] = [...unconditional, ...conditional];
  let last: { states: readonly TextState[]; groups: readonly RowGroup[] } | undefined;
  return (call) => {
    const states = all.map(({ prompt }) => prompt.at(call));
    if (!last || states.some((state, i) => state !== last?.states[i]))
      last = { states, groups: grouped(all, states, conditions) };
    return last.groups;
  };
}

type PromptRow = Row & { prompt: EncodedPrompt };

function grouped(
  rows: readonly PromptRow[],
  states: readonly TextState[],
  { timeIds, negativeTimeIds, guidance }: Conditions,
): RowGroup[] {
  const lengths = [...new Set(states.map(({ tokens }) => tokens))];
  return lengths.map((tokens) => {
    const chosen = rows.flatMap((row, i) =>
      states[i]!.tokens === tokens ? [{ row, state: states[i]! }] : [],
    );
    const text = joined(chosen.map(({ state }) => state));
    const ids = chosen.map(({ row }) => (row.weight === undefined ? negativeTimeIds : timeIds));
    return {
      rows: chosen.map(({ row: { image, weight } }) => ({ image, weight })),
      inputs: {
        ...text,
        ...(ids[0] && { time_ids: stacked(ids as Float32Array[], 6) }),
        ...(guidance && {
          timestep_cond: stacked(
            chosen.map(() => guidance),
            guidance.length,
          ),
        }),
      },
    };
  });
}

/** States of one length as a batch. */
function joined(states: readonly TextState[]): Conditioning {
  const [{ tokens, hidden, pooled }] = states as [TextState, ...TextState[]];
  const text = stacked(
    states.map((state) => state.hidden),
    tokens,
    hidden.length / tokens,
  );
  if (!pooled) return { encoder_hidden_states: text };
  const texts = states.map((state) => state.pooled!);
  return { encoder_hidden_states: text, text_embeds: stacked(texts, pooled.length) };
}

function stacked(rows: readonly Float32Array[], ...shape: readonly number[]): Values {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(rows.length * size);
  for (const [i, row] of rows.entries()) data.set(row, i * size);
  return { data, shape: [rows.length, ...shape] };
}

/** The embeddings of a batch under Diffusers' names; each prompt is one, and all have one length. */
export type Embeddings = {
  /** [batch, N, D] */
  prompt: Values;
  negative: Values | undefined;
  /** [batch, P] */
  pooled: Values | undefined;
  negativePooled: Values | undefined;
  /** SDXL's size conditions: [batch, 6] */
  timeIds: Values | undefined;
  negativeTimeIds: Values | undefined;
};

/** What Diffusers' `prompt_embeds` and the others hold at the first call. */
export function firstEmbeddings(conditions: Conditions, perPrompt: number): Embeddings {
  const { prompts, negatives, timeIds, negativeTimeIds } = conditions;
  if (prompts.some((parts) => parts.length > 1))
    throw new InvalidRequest("prompt", undefined, "must not be composed, got one with AND. Leave it out.");
  const repeated = <T>(list: readonly T[]) =>
    list.flatMap((one) => Array.from({ length: perPrompt }, () => one));
  const both = (list: readonly EncodedPrompt[]) => joined(repeated(list).map((prompt) => prompt.at(0)));
  const [text, negative] = [both(prompts.map(([only]) => only!)), negatives && both(negatives)];
  const ids = (given: Float32Array | undefined) =>
    given &&
    stacked(
      repeated(prompts).map(() => given),
      6,
    );
  return {
    prompt: text.encoder_hidden_states!,
    negative: negative?.encoder_hidden_states,
    pooled: text.text_embeds,
    negativePooled: negative?.text_embeds,
    timeIds: ids(timeIds),
    negativeTimeIds: negatives && ids(negativeTimeIds),
  };
}

/**
 * SDXL section 2.2: (height, width) of the original, of the crop's corner and of the target, and the same for the
 * unconditional half. Diffusers' text-to-image takes that half's sizes only if both are given; its image-to-image and
 * inpainting take each by itself, and never its corner.
 */
export function timeIds(request: CheckedRequest): [Float32Array, Float32Array] {
  const { height, width, cropsCoordsTopLeft: corner = [0, 0] } = request;
  const { originalSize = [height, width], targetSize = [height, width] } = request;
  const { negativeOriginalSize, negativeTargetSize, negativeCropsCoordsTopLeft } = request;
  const ids = Float32Array.of(...originalSize, ...corner, ...targetSize);
  if (requestKind(request) === "textToImage") {
    if (!negativeOriginalSize || !negativeTargetSize) {
      const rule = "has no effect without both negativeOriginalSize and negativeTargetSize.";
      warnOf({ negativeOriginalSize, negativeTargetSize, negativeCropsCoordsTopLeft }, rule, request);
      return [ids, ids];
    }
    const negativeCorner = negativeCropsCoordsTopLeft ?? [0, 0];
    return [ids, Float32Array.of(...negativeOriginalSize, ...negativeCorner, ...negativeTargetSize)];
  }
  warnOf({ negativeCropsCoordsTopLeft }, "has no effect with image: cropsCoordsTopLeft counts.", request);
  const [original, target] = [negativeOriginalSize ?? originalSize, negativeTargetSize ?? targetSize];
  return [ids, Float32Array.of(...original, ...corner, ...target)];
}

function warnOf(given: Record<string, unknown>, rule: string, { guided, warnings }: CheckedRequest): void {
  const field = Object.entries(given).find(([, value]) => value !== undefined)?.[0];
  if (guided && field) warnings.add(`${field}: ${rule}`);
}

/** @file Encodes prompts: tokens, one or two text encoders, and the states of theirs that the U-Net reads. */

import { floatsOf, longs } from "../engine/engine.js";
import { InvalidRequest } from "../errors.js";
import { type ClipConfig, clipText, finalNorm } from "../models/clip.js";
import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { cutWarning } from "../text/token-count.js";
import type { ClipTokenizer } from "../text/tokenizer.js";
import type { Family } from "../weights/pipeline-class.js";
import type { Component } from "./component.js";
import type { Warnings } from "./warnings.js";

/** A text encoder with the tokenizer that belongs to it. */
export type TextEncoder = { component: Component; config: ClipConfig; tokenizer: ClipTokenizer };

/** Which state of an encoder the U-Net reads: the last but one, or the last, normalised. */
export type StateRule = "penultimate" | "normed";

export const stateRules: Readonly<Record<Family, StateRule>> = { sdxl: "penultimate", sd: "normed" };

export type Encoded = {
  /** One [N, D] per text, with `clipSkip` layers skipped. */
  skipped: Float32Array[];
  /** The same with none skipped, which is what a negative prompt gets. */
  plain: Float32Array[];
  /** One [P] per text. */
  pooled: Float32Array[];
  tokens: number;
  width: number;
};

/** A text to encode: what it is called, as in "negative prompt", and the index of the prompt it belongs to. */
export type PromptText = { text: string; field: string; prompt: number };

/** Texts of one kind, one per prompt. */
export const promptTexts = (field: string, texts: readonly string[]): PromptText[] =>
  texts.map((text, prompt) => ({ text, field, prompt }));

/** Encodes `texts` in one run. Warns of each text that had to be cut, quoting what was lost. */
export async function encodeTexts(
  { component, config, tokenizer }: TextEncoder,
  texts: readonly PromptText[],
  { rule, clipSkip = 0, warnings }: { rule: StateRule; clipSkip?: number; warnings: Warnings },
): Promise<Encoded> {
  const N = config.maxTokens;
  const rows = texts.map(({ text, field, prompt }) => {
    const { ids, truncated } = tokenizer.encode(text, { maxLength: N });
    if (truncated !== undefined) warnings.add(cutWarning(field, N, truncated), prompt);
    return ids;
  });
  const session = await component.session(`${rule}-${clipSkip}`, (p) =>
    states(p, config, { rule, clipSkip }),
  );
  const ids = longs(
    rows.flatMap((row) => [...row]),
    texts.length,
    N,
  );
  const fields = [...new Set(texts.map(({ field }) => field))];
  const { skipped, plain, pooled } = await session.run({ ids }, `its states of the ${fields.join(" and ")}`);
  const perText = (data: Float32Array) =>
    texts.map((_, i) => data.slice((i * data.length) / texts.length, ((i + 1) * data.length) / texts.length));
  return {
    skipped: perText(floatsOf(skipped)),
    plain: perText(floatsOf(plain)),
    pooled: perText(floatsOf(pooled)),
    tokens: N,
    width: config.width,
  };
}

/** One text's state in each of SDXL's two encoders: [N, A] and [N, B] -> [N, A + B] */
export function sideBySide(a: Encoded, left: Float32Array, b: Encoded, right: Float32Array): Float32Array {
  const width = a.width + b.width;
  const out = new Float32Array(a.tokens * width);
  for (let n = 0; n < a.tokens; n++) {
    out.set(left.subarray(n * a.width, (n + 1) * a.width), n * width);
    out.set(right.subarray(n * b.width, (n + 1) * b.width), n * width + a.width);
  }
  return out;
}

/** The states of a text encoder that are read; traced with `batch` texts, for any number of them. */
export function states(
  p: Params,
  config: ClipConfig,
  { rule, clipSkip = 0, batch = 2 }: { rule: StateRule; clipSkip?: number; batch?: number },
): Record<string, Tensor> {
  const ids = input("ids", [{ B: batch }, config.maxTokens], "int64");
  const { hidden, last, pooled, textEmbeds } = clipText(p, config, ids);
  const state = (skip: number) => {
    if (rule === "penultimate") return hidden.at(-(skip + 2))!;
    return skip === 0 ? last : finalNorm(p, config, hidden.at(-(skip + 1))!);
  };
  return { skipped: state(clipSkip), plain: state(0), pooled: textEmbeds ?? pooled };
}

/** InvalidRequest for more layers to leave out than an encoder has. */
export function checkClipSkip(config: ClipConfig, rule: StateRule, clipSkip: number): void {
  const most = rule === "penultimate" ? config.layers - 1 : config.layers;
  if (!Number.isInteger(clipSkip) || clipSkip < 0 || clipSkip > most) {
    throw new InvalidRequest(
      "clipSkip",
      clipSkip,
      `must be a whole number from 0 to ${most}, got ${clipSkip}. This encoder has ${config.layers} layers.`,
    );
  }
}

/** @file Encodes prompts: tokens, one or two text encoders, and the states of theirs that the U-Net reads. */

import { floats, floatsOf, longs, type Values } from "../engine/engine.js";
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

/** A text encoder's network. */
export type TextNetwork = {
  component: Component;
  config: ClipConfig;
  /** The vectors of textual inversions, [V, D]: of the ids from the vocabulary's size on, which the tokenizer gives. */
  vectors?: Float32Array;
};

/** A text encoder with the tokenizer that belongs to it. */
export type TextEncoder = TextNetwork & { tokenizer: ClipTokenizer };

/**
 * Which place of a text is pooled where vectors of textual inversions are in it. "config", as Diffusers: the config says
 * it, and in most models that is the first highest id, the last vector of a textual inversion. "end", as AUTOMATIC1111 and
 * ComfyUI, whose ids of such vectors are low: the end token.
 */
export type Pooling = "config" | "end";

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
  encoder: TextEncoder,
  texts: readonly PromptText[],
  { warnings, ...options }: EncodeOptions & { warnings: Warnings },
): Promise<Encoded> {
  const { config, tokenizer } = encoder;
  const N = config.maxTokens;
  const rows = texts.map(({ text, field, prompt }) => {
    const { ids, truncated } = tokenizer.encode(text, { maxLength: N });
    if (truncated !== undefined) warnings.add(cutWarning(field, N, truncated), prompt);
    return ids;
  });
  const fields = [...new Set(texts.map(({ field }) => field))];
  return encodeIds(encoder, rows, { ...options, stage: `its states of the ${fields.join(" and ")}` });
}

export type EncodeOptions = { rule: StateRule; clipSkip?: number; pooling?: Pooling };

/** Encodes rows of `maxTokens` ids each in one run; ids from the vocabulary's size on are vectors of the encoder. */
export async function encodeIds(
  { component, config, vectors }: TextEncoder,
  rows: readonly ArrayLike<number>[],
  { rule, clipSkip = 0, pooling = "config", stage }: EncodeOptions & { stage?: string },
): Promise<Encoded> {
  const N = config.maxTokens;
  // All texts of an encoder with vectors run through one program, whether they use them or not: it stays loaded.
  const replaces = vectors !== undefined;
  const key = `${rule}-${clipSkip}${replaces ? "-vectors" : ""}`;
  const session = await component.session(key, (p) => states(p, config, { rule, clipSkip, replaces }));
  const inputs = replaces
    ? replacedInputs(rows, vectors, config, pooling)
    : { ids: longs(flat(rows), rows.length, N) };
  const { skipped, plain, pooled } = await session.run(inputs, stage);
  const perText = (data: Float32Array) =>
    rows.map((_, i) => data.slice((i * data.length) / rows.length, ((i + 1) * data.length) / rows.length));
  return {
    skipped: perText(floatsOf(skipped)),
    plain: perText(floatsOf(plain)),
    pooled: perText(floatsOf(pooled)),
    tokens: N,
    width: config.width,
  };
}

const flat = (rows: readonly ArrayLike<number>[]): number[] => rows.flatMap((row) => Array.from(row));

/** The inputs of a program that takes vectors; an id that stands for one looks up any row of the table, which is not kept. */
function replacedInputs(
  rows: readonly ArrayLike<number>[],
  vectors: Float32Array,
  { vocabulary, width, maxTokens, pools }: ClipConfig,
  pooling: Pooling,
): Record<string, Values> {
  const all = flat(rows);
  const shape = [rows.length, maxTokens] as const;
  const own = all.map((id) => (id < vocabulary ? id : 0));
  const replacing = new Float32Array(all.length * width);
  for (const [at, id] of all.entries()) {
    if (id < vocabulary) continue;
    const from = (id - vocabulary) * width;
    replacing.set(vectors.subarray(from, from + width), at * width);
  }
  return {
    ids: longs(own, ...shape),
    pooled_ids: longs(pooling === "config" && pools === "highest" ? all : own, ...shape),
    kept: floats(
      Float32Array.from(all, (id) => (id < vocabulary ? 1 : 0)),
      ...shape,
      1,
    ),
    vectors: floats(replacing, ...shape, width),
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

/**
 * The states of a text encoder that are read; traced with `batch` texts, for any number of them. `replaces`: with inputs for
 * the vectors of textual inversions.
 */
export function states(
  p: Params,
  config: ClipConfig,
  {
    rule,
    clipSkip = 0,
    batch = 2,
    replaces = false,
  }: { rule: StateRule; clipSkip?: number; batch?: number; replaces?: boolean },
): Record<string, Tensor> {
  const shape = [{ B: batch }, config.maxTokens] as const;
  const ids = input("ids", shape, "int64");
  const replaced = {
    kept: input("kept", [...shape, 1]),
    vectors: input("vectors", [...shape, config.width]),
    pooledIds: input("pooled_ids", shape, "int64"),
  };
  const { hidden, last, pooled, textEmbeds } = clipText(p, config, ids, replaces ? replaced : undefined);
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

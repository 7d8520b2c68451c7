/**
 * @file Attention maps: where in the image each token and word of a prompt went. The conventions are those of DAAM (Tang
 * et al. 2022, castorini/daam).
 */

import { InvalidRequest } from "../../errors.js";
import { bicubic } from "../../image/interpolate.js";

/** A word of a prompt, and which of the tokens it is. */
export type AttentionWord = { readonly word: string; readonly tokens: readonly number[] };

/** What one cross-attention layer gave, summed over the steps. */
export type AttentionLayer = {
  /** Its path in the checkpoint, such as `down_blocks.1.attentions.0.transformer_blocks.0.attn2`. */
  readonly path: string;
  readonly heads: number;
  /** Rows and columns of its own. */
  readonly height: number;
  readonly width: number;
  /** [heads, tokens, height, width]; of one step each place's probabilities over all tokens add up to 1. */
  readonly data: Float32Array;
};

/** Which layers count. */
export type MapOptions = {
  /** Whether the layers of the middle block do; false if left out, as in DAAM. */
  midBlock?: boolean;
  /** Paths of layers, whole or their beginnings, such as `up_blocks.1`; with it `midBlock` has no effect. All if left out. */
  layers?: readonly string[];
};

/** What an image's maps consist of. */
export type AttentionMapsInit = Pick<
  AttentionMaps,
  "height" | "width" | "tokens" | "words" | "layers" | "steps"
>;

/** The attention of one image to its prompt, summed over the steps or of one. Maps are computed when they are asked for. */
export class AttentionMaps {
  /** Rows and columns of the maps: the latents'. */
  readonly height: number;
  readonly width: number;
  /** As the vocabulary spells them: the start, the prompt's, the end. */
  readonly tokens: readonly string[];
  readonly words: readonly AttentionWord[];
  /** In the order in which the U-Net runs them. */
  readonly layers: readonly AttentionLayer[];
  /** The same of each call of the U-Net, with `attentionMaps: "steps"`; else empty. */
  readonly steps: readonly AttentionMaps[];
  readonly #means = new Map<string, Float32Array>();

  /** @internal */
  constructor({ height, width, tokens, words, layers, steps }: AttentionMapsInit) {
    this.height = height;
    this.width = width;
    this.tokens = tokens;
    this.words = words;
    this.layers = layers;
    this.steps = steps;
  }

  /**
   * Of each token the mean over all heads of all layers, each enlarged to the latents' size by bicubic interpolation and
   * cut off at 0: [tokens, height, width]
   */
  tokenMaps({ midBlock = false, layers: paths }: MapOptions = {}): Float32Array {
    const chosen = this.layers.filter(({ path }) =>
      paths
        ? paths.some((start) => `${path}.`.startsWith(`${start}.`))
        : midBlock || !path.startsWith("mid_block."),
    );
    if (chosen.length === 0) {
      const rule = `must name layers of ${this.layers.map(({ path }) => path).join(", ")}, got ${paths?.join(", ") ?? "none"}.`;
      throw new InvalidRequest("layers", paths, rule);
    }
    const key = chosen.map(({ path }) => path).join();
    const known = this.#means.get(key) ?? this.#mean(chosen);
    this.#means.set(key, known);
    return known.slice();
  }

  /** `tokenMaps` over their sum at each place, start and end left out: the prompt's tokens add up to 1. */
  normalizedMaps(options: MapOptions = {}): Float32Array {
    const maps = this.tokenMaps(options);
    const size = this.height * this.width;
    for (let i = 0; i < size; i++) {
      let total = 1e-6;
      for (let token = 1; token < this.tokens.length - 1; token++) total += maps[token * size + i]!;
      for (let at = i; at < maps.length; at += size) maps[at]! /= total;
    }
    return maps;
  }

  /** Of each word the mean over its tokens: [words, height, width] */
  wordMaps(options: MapOptions = {}): Float32Array {
    const maps = this.tokenMaps(options);
    const size = this.height * this.width;
    const out = new Float32Array(this.words.length * size);
    for (const [w, { tokens }] of this.words.entries()) {
      for (const token of tokens)
        for (let i = 0; i < size; i++) out[w * size + i]! += maps[token * size + i]! / tokens.length;
    }
    return out;
  }

  /** A word's map at an image's size, by bicubic interpolation, from 0 where it is least to 1: [height, width] */
  heatMap(word: number, size: { height: number; width: number }, options: MapOptions = {}): Float32Array {
    const one = this.height * this.width;
    if (this.words[word] === undefined) {
      const rule = `must be the index of a word, from 0 to ${this.words.length - 1}, got ${word}.`;
      throw new InvalidRequest("word", word, rule);
    }
    const map = this.wordMaps(options).subarray(word * one, (word + 1) * one);
    return toUnitRange(bicubic(this, size)(map));
  }

  #mean(chosen: readonly AttentionLayer[]): Float32Array {
    const size = this.height * this.width;
    const sums = new Float32Array(this.tokens.length * size);
    let pairs = 0;
    for (const { heads, data, ...own } of chosen) {
      pairs += heads;
      const enlarge = bicubic(own, this);
      const ownSize = own.height * own.width;
      const map = new Float32Array(size);
      for (let i = 0; i < heads * this.tokens.length; i++) {
        enlarge(data.subarray(i * ownSize, (i + 1) * ownSize), map);
        const to = (i % this.tokens.length) * size;
        for (let at = 0; at < size; at++) sums[to + at]! += Math.max(0, map[at]!);
      }
    }
    return sums.map((sum) => sum / pairs);
  }
}

/** In place: (x - min) / (max - min + 1e-8) */
export function toUnitRange(map: Float32Array): Float32Array {
  let [least, most] = [Infinity, -Infinity];
  for (const x of map) {
    least = Math.min(least, x);
    most = Math.max(most, x);
  }
  for (let i = 0; i < map.length; i++) map[i] = (map[i]! - least) / (most - least + 1e-8);
  return map;
}

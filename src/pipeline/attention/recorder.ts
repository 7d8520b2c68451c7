/** @file Keeps what the U-Net's cross-attention gives in each call: sums over the calls for each image, on the host. */

import { floats, floatsOf, longs, type Values } from "../../engine/engine.js";
import { attentionInputs, attentionPrefix, layersOf } from "../../models/cross-attention.js";
import type { Row } from "../conditioning.js";
import { type AttentionLayer, AttentionMaps } from "./maps.js";
import type { PromptTokens } from "./words.js";

type RecorderOptions = {
  /** Of each image. */
  prompts: readonly PromptTokens[];
  /** Rows and columns of the latents. */
  height: number;
  width: number;
  /** Whether each call's maps are kept besides their sum. */
  keepsSteps: boolean;
};

/** Of one image: what it has of the running call, the sum over the calls that ended, and those that are kept. */
type Recorded = { call: AttentionLayer[]; sum: AttentionLayer[]; steps: AttentionMaps[] };

/** Tells the U-Net's program what to give, and adds it up. */
export class AttentionRecorder {
  readonly #options: RecorderOptions;
  /** Places of any prompt's tokens, ascending. */
  readonly #places: readonly number[];
  readonly #images: readonly Recorded[];

  constructor(options: RecorderOptions) {
    this.#options = options;
    const places = options.prompts.flatMap(({ places }) => places);
    this.#places = [...new Set(places)].sort((a, b) => a - b);
    this.#images = options.prompts.map(() => ({ call: [], sum: [], steps: [] }));
  }

  /**
   * What a run of these rows needs, with texts of so many tokens; a run of negative prompts alone gives maps of its first
   * row, which `add` leaves out.
   */
  inputs(rows: readonly Row[], textTokens: number): Record<string, Values> {
    const chosen = conditional(rows);
    const { rows: rowsName, tokens } = attentionInputs;
    return {
      [rowsName]: longs(chosen.length > 0 ? chosen : [0], Math.max(1, chosen.length)),
      [tokens]: floats(this.#selection(textTokens), this.#places.length, textTokens),
    };
  }

  /** For each place a row of the identity: [places, tokens of the text]. */
  #selection(textTokens: number): Float32Array {
    const rows = new Float32Array(this.#places.length * textTokens);
    // A negative prompt's text may be shorter than a prompt; its row stays zero.
    for (const [t, place] of this.#places.entries()) if (place < textTokens) rows[t * textTokens + place] = 1;
    return rows;
  }

  /** Takes a run's results. */
  add(rows: readonly Row[], results: Readonly<Record<string, Values>>): void {
    for (const [r, row] of conditional(rows).entries()) {
      const { image } = rows[row]!;
      const recorded = this.#images[image]!;
      recorded.call = Object.entries(results)
        .filter(([name]) => name.startsWith(attentionPrefix))
        .flatMap(([name, values]) => this.#layers(name, values, r, image));
    }
  }

  /** Ends a call: each image's maps of it. */
  endCall(): AttentionMaps[] {
    return this.#images.map((recorded, image) => {
      const { call, sum, steps } = recorded;
      if (sum.length === 0) recorded.sum = call.map((layer) => ({ ...layer, data: layer.data.slice() }));
      else for (const [l, { data }] of sum.entries()) addTo(data, call[l]!.data);
      const maps = this.#maps(image, call, []);
      if (this.#options.keepsSteps) steps.push(maps);
      return maps;
    });
  }

  /** Of each image, summed over all calls. */
  result(): AttentionMaps[] {
    return this.#images.map(({ sum, steps }, image) => this.#maps(image, sum, steps));
  }

  #maps(image: number, layers: readonly AttentionLayer[], steps: readonly AttentionMaps[]): AttentionMaps {
    const { height, width, prompts } = this.#options;
    const { tokens, words } = prompts[image]!;
    return new AttentionMaps({ height, width, tokens, words, layers, steps });
  }

  /** Of one row of a result [rows, heads of its layers, places, N]. */
  #layers(name: string, { data, shape }: Values, row: number, image: number): AttentionLayer[] {
    const [, all, places, size] = shape as [number, number, number, number];
    const floats = floatsOf({ data, shape });
    const picksAll = this.#options.prompts[image]!.places.length === places;
    let at = row * all;
    return layersOf(name).map(({ path, heads }) => {
      const own = floats.subarray(at * places * size, (at + heads) * places * size);
      at += heads;
      const picked = picksAll ? own : this.#picked(own, image, size);
      return { path, heads, ...this.#levelOf(size), data: picked };
    });
  }

  /** The tokens of one image of [heads, places, N]. */
  #picked(from: Float32Array, image: number, size: number): Float32Array {
    const { places } = this.#options.prompts[image]!;
    const heads = from.length / size / this.#places.length;
    const out = new Float32Array(heads * places.length * size);
    for (let head = 0; head < heads; head++) {
      for (const [t, place] of places.entries()) {
        const at = (head * this.#places.length + this.#places.indexOf(place)) * size;
        out.set(from.subarray(at, at + size), (head * places.length + t) * size);
      }
    }
    return out;
  }

  /** Rows and columns of a level with so many places: each level halves the one above, rounded up. */
  #levelOf(size: number): { height: number; width: number } {
    let { height, width } = this.#options;
    while (height * width > size) [height, width] = [(height + 1) >> 1, (width + 1) >> 1];
    return { height, width };
  }
}

/** The rows of prompts, by their index. */
const conditional = (rows: readonly Row[]): number[] =>
  [...rows.keys()].filter((i) => rows[i]!.weight !== undefined);

function addTo(sum: Float32Array, data: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += data[i]!;
}

/** @file Attention maps of words as a job's images have them: bytes, of few rows and columns. */

import { toBase64 } from "../files/base64.js";
import type { AttentionMaps } from "../pipeline/attention/maps.js";
import type { WordMaps } from "./schemas.js";

/** Rows and columns at most; larger maps are averaged in blocks. */
const mostSide = 64;

export function wordMapsOf(maps: AttentionMaps): WordMaps {
  const by = Math.ceil(Math.max(maps.height, maps.width) / mostSide);
  const [rows, columns] = [Math.ceil(maps.height / by), Math.ceil(maps.width / by)];
  const all = maps.wordMaps();
  const size = maps.height * maps.width;
  const words = maps.words.map(({ word, tokens }, i) => {
    const map = averaged(all.subarray(i * size, (i + 1) * size), maps, by);
    const [least, most] = [Math.min(...map), Math.max(...map)];
    const bytes = Uint8Array.from(map, (x) => Math.round((255 * (x - least)) / (most - least + 1e-8)));
    const mean = map.reduce((sum, x) => sum + x, 0) / map.length;
    const spelled = tokens.map((token) => maps.tokens[token]!);
    return { word, tokens: spelled, mean, least, most, map: toBase64(bytes) };
  });
  return { rows, columns, words };
}

/** Means of blocks of `by` places a side; those at the edges may be smaller. */
function averaged(map: Float32Array, { height, width }: AttentionMaps, by: number): Float32Array {
  const [rows, columns] = [Math.ceil(height / by), Math.ceil(width / by)];
  return Float32Array.from({ length: rows * columns }, (_, at) => {
    const [top, left] = [Math.floor(at / columns) * by, (at % columns) * by];
    const [bottom, right] = [Math.min(height, top + by), Math.min(width, left + by)];
    let sum = 0;
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) sum += map[y * width + x]!;
    return sum / ((bottom - top) * (right - left));
  });
}

/**
 * @file What text encoders gave for rows of tokens, kept while the encoder is: a prompt that comes again, and the negative
 * prompt of most requests, are not encoded again, and the encoder need not even be loaded.
 */

import type { Device } from "../engine/device.js";
import type { TextNetwork } from "./text-encoding.js";

/** The states of one row of ids; read only. */
export type EncodedRow = Readonly<Record<"skipped" | "plain" | "pooled", Float32Array>>;

/** Bytes that are kept for each encoder: some 80 rows of SDXL's second one. */
const mostBytes = 64e6;

/**
 * By the encoder as it was opened. One with other LoRAs or embeddings, and another one of the same files, is another
 * object.
 */
const caches = new WeakMap<TextNetwork, TextStateCache>();

/** The states that an encoder gave. */
export function textStatesOf(encoder: TextNetwork): TextStateCache {
  const cache = caches.get(encoder) ?? new TextStateCache();
  caches.set(encoder, cache);
  return cache;
}

export class TextStateCache {
  /** The least recently used first. */
  readonly #rows = new Map<string, EncodedRow>();
  readonly #most: number;
  #bytes = 0;

  constructor(most = mostBytes) {
    this.#most = most;
  }

  get(key: string): EncodedRow | undefined {
    const row = this.#rows.get(key);
    if (row === undefined) return undefined;
    this.#rows.delete(key);
    this.#rows.set(key, row);
    return row;
  }

  set(key: string, row: EncodedRow): void {
    if (this.#rows.has(key)) return;
    this.#rows.set(key, row);
    this.#bytes += bytesOf(row);
    for (const [oldest, states] of this.#rows) {
      if (this.#bytes <= this.#most) return;
      this.#rows.delete(oldest);
      this.#bytes -= bytesOf(states);
    }
  }
}

/** States that are the same array count once. */
const bytesOf = (row: EncodedRow): number =>
  [...new Set(Object.values(row))].reduce((sum, { byteLength }) => sum + byteLength, 0);

/** All that the states of a row depend on, besides the encoder itself. */
export const stateKey = (
  ids: ArrayLike<number>,
  how: { rule: string; clipSkip: number; pooling: string },
  device: Device,
): string => JSON.stringify([device, how.rule, how.clipSkip, how.pooling, Array.from(ids)]);

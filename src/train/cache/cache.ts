/**
 * @file A finished cache of encoded images and captions, read by key. Independent of the networks that encoded them.
 */

import path from "node:path";
import { sampleLatents } from "../../diffusion/posterior.js";
import type { NoiseSource } from "../../diffusion/random.js";
import { InvalidRequest, listed, ModelError, ShapeError } from "../../errors.js";
import { kindOf, reading, readRange } from "../../files/file-system.js";
import { count, type Shape } from "../../tensor/tensor.js";
import { dtypeSizes, toFloat32 } from "../../weights/dtype.js";
import type { Embeddings } from "../data/captions.js";
import type { TimeIds } from "../data/transform.js";
import { type CacheIndex, type CaptionEntry, type ExampleEntry, readCacheIndex } from "./cache-index.js";
import { type CacheDescription, damaged, readDescription } from "./description.js";

/** The examples of some keys, in their order. */
export type CachedBatch = {
  /** As the autoencoder gave it, neither sampled nor scaled: moments [B, 2C, h, w] or latents [B, C, h, w]. */
  readonly encoded: Float32Array;
  /** [C, h, w] */
  readonly latentShape: readonly [number, number, number];
  /** Latents to train on, [B, C, h, w], times `scalingFactor`; moments are sampled, latents draw nothing. */
  sample(source: NoiseSource): Float32Array;
  readonly captions: readonly Embeddings[];
  /** The captions as they were written, for text encoders that are trained themselves. */
  readonly words: readonly string[];
  readonly timeIds: readonly TimeIds[];
};

export type LatentCache = {
  readonly folder: string;
  readonly description: CacheDescription;
  /** Keys by the bucket's name, "HEIGHTxWIDTH" in pixels. */
  readonly keysByBucket: ReadonlyMap<string, readonly string[]>;
  readonly textShape: readonly [tokens: number, width: number];
  /** The encoding of "". */
  readonly empty: Embeddings;
  readonly zeros: Embeddings;
  /** Reads examples of one bucket; InvalidRequest for a key that is not here, ModelError for a broken shard. */
  read(keys: readonly string[]): Promise<CachedBatch>;
};

/** Opens a finished cache and checks that its files are whole; InvalidRequest, or a ModelError naming the file. */
export async function openCache(folder: string): Promise<LatentCache> {
  const description = await readDescription(folder);
  const index = await readCacheIndex(folder);
  await checkSizes(folder, index);
  const { tokens, width, pooled } = index;
  const examples = new Map(index.examples.map((entry) => [entry.key, entry]));
  const captions = new Map(index.captions.map((entry) => [entry.caption, entry]));
  const floats = async (file: string, offset: number, shape: Shape) => {
    const dtype = description.dtype === "float16" ? "F16" : "F32";
    const bytes = count(shape) * dtypeSizes[dtype];
    return toFloat32(await readRange(path.join(folder, file), offset, bytes), dtype);
  };
  const embeddings = async (entry: CaptionEntry): Promise<Embeddings> => ({
    promptEmbeds: await floats(entry.file, entry.text, [tokens, width]),
    ...(pooled !== null && { pooled: await floats(entry.file, entry.pooled!, [pooled]) }),
  });
  return {
    folder,
    description,
    keysByBucket: byBucket(index.examples),
    textShape: [tokens, width],
    empty: await embeddings(index.captions[0]!),
    zeros: {
      promptEmbeds: new Float32Array(tokens * width),
      ...(pooled !== null && { pooled: new Float32Array(pooled) }),
    },
    read: async (keys) => {
      const entries = keys.map((key) => examples.get(key) ?? unknown(folder, key));
      const shape = encodedShape(description, oneBucket(entries));
      const rows = await Promise.all(entries.map(({ file, encoded }) => floats(file, encoded, shape)));
      const texts = await Promise.all(entries.map(({ caption }) => embeddings(captions.get(caption)!)));
      const words = entries.map(({ caption }) => captions.get(caption)!.words);
      const timeIds = entries.map((entry) => entry.timeIds);
      return { ...latents(rows, shape, description), captions: texts, words, timeIds };
    },
  };
}

function latents(rows: readonly Float32Array[], [, h, w]: Encoded, description: CacheDescription) {
  const { latentChannels } = description;
  const encoded = new Float32Array(rows.length * rows[0]!.length);
  for (const [i, row] of rows.entries()) encoded.set(row, i * row.length);
  const sample = (source: NoiseSource) => sampleLatents(encoded, description, rows.length, source);
  return { encoded, latentShape: [latentChannels, h, w] as const, sample };
}

type Encoded = readonly [channels: number, height: number, width: number];

function encodedShape({ encodes, latentChannels, factor }: CacheDescription, bucket: string): Encoded {
  const [height, width] = bucket.split("x").map(Number) as [number, number];
  return [encodes === "moments" ? 2 * latentChannels : latentChannels, height / factor, width / factor];
}

function oneBucket(entries: readonly ExampleEntry[]): string {
  const buckets = [...new Set(entries.map(({ bucket }) => bucket))];
  if (buckets.length === 1) return buckets[0]!;
  throw new ShapeError("cache", `a batch must be of one bucket, got ${listed(buckets) || "no keys"}`);
}

function byBucket(examples: readonly ExampleEntry[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { bucket, key } of examples) {
    const keys = found.get(bucket);
    if (keys) keys.push(key);
    else found.set(bucket, [key]);
  }
  return found;
}

function unknown(folder: string, key: string): never {
  const remedy = "Build the cache again from this data.";
  throw new InvalidRequest(
    "key",
    key,
    `must be an example of the cache "${folder}", got "${key}". ${remedy}`,
  );
}

/** Each shard must be there with as many bytes as it was written with. */
async function checkSizes(folder: string, { files }: CacheIndex): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) {
    const file = path.join(folder, name);
    if ((await kindOf(file)) === undefined) {
      throw new ModelError(file, "must be there, got nothing. Run again: what it held is encoded anew.");
    }
    const { size } = await reading(file, file, (handle) => handle.stat());
    if (size === bytes) continue;
    const problem = size < bytes ? "it is cut short" : "it was changed";
    throw damaged(file, new ModelError(file, `must be ${bytes} bytes, got ${size} (${problem}).`));
  }
}

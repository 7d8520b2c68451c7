/**
 * @file Encodes a data set once: captions, then images, into shards on disk. A run that was stopped is continued by the
 * next; text encoders and autoencoder are never in memory together, and neither afterwards.
 */

import { createHash } from "node:crypto";
import path from "node:path";
import { z } from "zod";
import { Cancelled, InvalidRequest, ModelError } from "../../errors.js";
import type { ImageSize, Rgb } from "../../image/pixels.js";
import type { Components } from "../../pipeline/components.js";
import { openSafetensors } from "../../weights/safetensors-file.js";
import { bucketName } from "../data/buckets.js";
import type { DataOptions, DataSource, SkippedExample } from "../data/example.js";
import { prepareExamples } from "../data/prepare.js";
import { seeded } from "../data/seeded.js";
import type { TransformOptions } from "../data/transform.js";
import { type CaptionEntry, type ExampleEntry, writeCacheIndex } from "./cache-index.js";
import { type CacheDescription, claimFolder } from "./description.js";
import { encodeCaption, encodeExample, release } from "./encoders.js";
import { networkFingerprint } from "./fingerprint.js";
import { type ShardOptions, Shards } from "./shards.js";

export type CacheOptions = TransformOptions &
  ShardOptions & {
    data: DataSource;
    /** The path and options that the data was opened with: a cache of other data is refused. */
    dataPath: string;
    dataOptions?: DataOptions;
    /** The model whose text encoders and autoencoder encode. Its U-Net is not used. */
    components: Components;
    folder: string;
    /** Side of the square that images are cut to where there are no buckets. */
    resolution: number;
    /** Target sizes of several aspect ratios. */
    buckets?: readonly ImageSize[];
    background?: Rgb;
    /** Of random crops and flips, which are drawn once and cached. */
    seed?: number;
    signal?: AbortSignal;
    onProgress?: (progress: CacheProgress) => void;
    onSkip?: (skipped: SkippedExample) => void;
  };

type CacheProgress = { stage: "captions" | "images"; done: number; total: number };

export type CacheReport = {
  /** Examples that can be trained on. */
  examples: number;
  /** Distinct captions, "" among them. */
  captions: number;
  /** How many of both this run encoded; the others were in the cache. */
  encoded: { images: number; captions: number };
  skipped: readonly SkippedExample[];
  /** Captions of this run that did not fit into the text encoder and were cut. */
  cutCaptions: number;
};

const textNote = z.strictObject({ caption: z.string() });
const imageNote = z.strictObject({
  bucket: z.string(),
  timeIds: z.tuple([z.number(), z.number(), z.number(), z.number(), z.number(), z.number()]),
});
type TextShards = Shards<z.output<typeof textNote>>;
type ImageShards = Shards<z.output<typeof imageNote>>;

/**
 * Builds or completes the cache in `folder`. Throws Cancelled when the signal fires (the work done is kept),
 * InvalidRequest for a folder that is something else or made by something else, ModelError for a broken shard.
 */
export async function buildCache(options: CacheOptions): Promise<CacheReport> {
  const { data, folder, components } = options;
  const sizes = targetSizes(options);
  await claimFolder(folder, await describe(options, sizes));
  const { dtype, shardBytes, parkSeconds } = options;
  const given = Object.entries({ dtype, shardBytes, parkSeconds }).filter(([, v]) => v !== undefined);
  const shardOptions: ShardOptions = Object.fromEntries(given);
  const texts = await Shards.open(folder, "text", textNote, shardOptions);
  const images = await Shards.open(folder, "images", imageNote, shardOptions);
  try {
    const captions = new Map<string, string>();
    for await (const { key, caption } of data.examples()) captions.set(key, caption);
    const text = await cacheTexts(texts, captions, options);
    await release(components, "textEncoders");
    const image = await cacheImages(images, captions, sizes, options);
    const examples = await writeIndex(folder, captions, texts, images, image.rows);
    return {
      examples,
      captions: text.total,
      encoded: { images: image.encoded, captions: text.encoded },
      skipped: image.skipped,
      cutCaptions: text.cut,
    };
  } finally {
    await release(components, "textEncoders");
    await release(components, "vae");
  }
}

function targetSizes({ resolution, buckets, components }: CacheOptions): readonly ImageSize[] {
  const sizes = buckets ?? [{ height: resolution, width: resolution }];
  const { factor } = components.vae;
  for (const { height, width } of sizes) {
    const wrong = [height, width].find((side) => !(Number.isInteger(side / factor) && side > 0));
    if (wrong === undefined) continue;
    const rule = `must be a multiple of ${factor}, the autoencoder's pixels per latent, got ${wrong}.`;
    const nearest = Math.max(factor, Math.round(wrong / factor) * factor);
    throw new InvalidRequest("resolution", wrong, `${rule} Nearest: ${nearest}.`);
  }
  return sizes;
}

async function describe(o: CacheOptions, sizes: readonly ImageSize[]): Promise<CacheDescription> {
  const { crop = "center", flip = false, seed = 0, background = [255, 255, 255] } = o;
  const { encodes, latentChannels, scalingFactor, factor, statistics } = o.components.vae;
  if (statistics) refuse("vae/config.json", "latents_mean", "an autoencoder without it");
  if (o.components.unet.config.guidanceEmbedding !== undefined)
    refuse("unet/config.json", "time_cond_proj_dim", "the model that this one was distilled from");
  const dtype = o.dtype ?? "float32";
  const madeBy = {
    ...(await networkFingerprint(o.components)),
    data: `${o.data.kind} ${path.resolve(o.dataPath)}`,
    captionColumn: o.dataOptions?.captionColumn ?? "default",
    imageColumn: o.dataOptions?.imageColumn ?? "default",
    resolution: String(o.resolution),
    buckets: sizes.map(bucketName).join(" "),
    resizing: "Lanczos as Pillow 13",
    crop,
    flip: String(flip),
    // Without chance the seed changes nothing.
    seed: crop === "random" || flip ? String(seed) : "none",
    background: background.join(" "),
    dtype,
  };
  return { version: 2, encodes, latentChannels, scalingFactor, factor, dtype, madeBy };
}

function refuse(file: string, field: string, remedy: string): never {
  throw new ModelError(file, `${field}: must be null in training, got a value. Train with ${remedy}.`);
}

async function cacheTexts(texts: TextShards, captions: ReadonlyMap<string, string>, o: CacheOptions) {
  // Without captions, `prepareExamples` reports that there is nothing to train on.
  const distinct = captions.size > 0 ? [...new Set(["", ...captions.values()])] : [];
  let encoded = 0;
  let cut = 0;
  for (const [i, caption] of distinct.entries()) {
    if (texts.has(captionId(caption))) continue;
    await checkSignal(o.signal, texts);
    const row = await encodeCaption(o.components, caption, () => cut++);
    await texts.add(captionId(caption), row, { caption });
    encoded++;
    o.onProgress?.({ stage: "captions", done: i + 1, total: distinct.length });
  }
  await texts.finish();
  return { total: distinct.length, encoded, cut };
}

async function cacheImages(
  images: ImageShards,
  captions: ReadonlyMap<string, string>,
  sizes: readonly ImageSize[],
  o: CacheOptions,
) {
  const { data, components, crop, flip, background, seed = 0, onSkip = () => {} } = o;
  const rows = new Map<string, string>();
  let done = 0;
  let reported = 0;
  let encoded = 0;
  const progress = () =>
    o.onProgress?.({ stage: "images", done: done + encoded + skipped.length, total: captions.size });
  const { examples, skipped } = prepareExamples(stoppable(data, images, o.signal), sizes, {
    random: (key) => seeded(seed, "crop", 0, key),
    isDone: (key, bytes) => {
      const row = imageRow(key, bytes);
      rows.set(key, row);
      if (!images.has(row)) return false;
      done++;
      progress();
      return true;
    },
    ...(crop && { crop }),
    ...(flip !== undefined && { flip }),
    ...(background && { background }),
  });
  const report = () => {
    for (; reported < skipped.length; reported++) onSkip(skipped[reported]!);
  };
  for await (const example of examples) {
    report();
    const { key, size, timeIds } = example;
    if (captions.get(key) !== example.caption) throw changed(key);
    await images.add(rows.get(key)!, await encodeExample(components, example), {
      bucket: bucketName(size),
      timeIds: [...timeIds],
    });
    encoded++;
    progress();
  }
  report();
  await images.finish();
  return { encoded, skipped, rows };
}

/** The data, of which no further example is given once the signal has fired. */
function stoppable(data: DataSource, images: ImageShards, signal: AbortSignal | undefined): DataSource {
  async function* examples(onSkip?: (skipped: SkippedExample) => void) {
    for await (const example of data.examples(onSkip)) {
      await checkSignal(signal, images);
      yield example;
    }
  }
  return { ...data, examples };
}

/**
 * Lists the examples of the data as it is now, whose images have the `rows` by key; other rows stay unread in their
 * shards.
 */
async function writeIndex(
  folder: string,
  captions: ReadonlyMap<string, string>,
  texts: TextShards,
  images: ImageShards,
  rows: ReadonlyMap<string, string>,
): Promise<number> {
  const examples: ExampleEntry[] = [];
  for (const [key, caption] of captions) {
    const location = images.locations.get(rows.get(key) ?? "");
    if (!location) continue;
    const { file, tensors, note } = location;
    examples.push({ key, caption: captionId(caption), file, encoded: tensors.encoded!.offset, ...note });
  }
  const used = new Set([captionId(""), ...examples.map(({ caption }) => caption)]);
  const entries = [...used].map((caption): CaptionEntry => {
    const { file, tensors, note } = texts.locations.get(caption)!;
    const { text, pooled } = tensors;
    return {
      caption,
      words: note.caption,
      file,
      text: text!.offset,
      ...(pooled && { pooled: pooled.offset }),
    };
  });
  const files: Record<string, number> = {};
  for (const file of new Set([...entries, ...examples].map(({ file }) => file)))
    files[file] = (await openSafetensors(path.join(folder, file))).size;
  const { text, pooled } = texts.locations.get(captionId(""))!.tensors;
  const [tokens, width] = text!.shape as [number, number];
  const head = { version: 1 as const, files, tokens, width, pooled: pooled?.shape[0] ?? null };
  await writeCacheIndex(folder, { ...head, captions: entries, examples });
  return examples.length;
}

const captionId = (caption: string): string =>
  createHash("sha256").update(caption).digest("hex").slice(0, 32);

/** Names a row by the image's bytes too: a key, such as a tar member's number, may come to mean another image. */
const imageRow = (key: string, bytes: Uint8Array): string =>
  `${key} ${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}`;

async function checkSignal(signal: AbortSignal | undefined, shards: TextShards | ImageShards) {
  if (!signal?.aborted) return;
  await shards.park();
  throw new Cancelled("encoding the data");
}

function changed(key: string): InvalidRequest {
  const rule = `must stay as it is while it is encoded, got another caption for "${key}" on the second look.`;
  return new InvalidRequest("data", key, `${rule} Run again.`);
}

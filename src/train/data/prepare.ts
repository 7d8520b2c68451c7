/** @file Prepares training data: decodes each image, assigns its bucket and transforms it, or skips it with a reason. */

import { InvalidRequest } from "../../errors.js";
import { tooManyOpen } from "../../files/file-errors.js";
import { decodeImage } from "../../image/codec.js";
import type { ImageSize, Rgb, RgbImage } from "../../image/pixels.js";
import { nearestBucket } from "./buckets.js";
import type { DataSource, Example, SkippedExample } from "./example.js";
import { coveringSize, type TimeIds, type TransformOptions, transformImage } from "./transform.js";

/** The largest image that is decoded: libvips' own limit. Photographs and scans may be far larger than a request's. */
const maxPixels = 0x3fff ** 2;

/** An example ready for the encoders: `pixels` is [3, size.height, size.width] in -1..1. */
export type PreparedExample = {
  readonly key: string;
  readonly caption: string;
  readonly size: ImageSize;
  readonly pixels: Float32Array;
  readonly timeIds: TimeIds;
};

export type Preparation = {
  readonly examples: AsyncIterable<PreparedExample>;
  /** What was left out so far, with reasons; complete once `examples` has ended. */
  readonly skipped: readonly SkippedExample[];
};

export type PrepareOptions = TransformOptions & {
  /** Colour behind transparent pixels. Default white. */
  readonly background?: Rgb;
  /** The random numbers for one example: `(key) => seeded(seed, "crop", epoch, key)`. */
  readonly random: (key: string) => () => number;
  /** Leaves an example of these bytes out before it is decoded (it is cached already). It counts as usable. */
  readonly isDone?: (key: string, bytes: Uint8Array) => boolean;
};

/**
 * Prepares a source's examples for the given target sizes (one, or aspect-ratio buckets). A broken image is
 * skipped and named; `examples` throws InvalidRequest at its end if nothing was usable.
 */
export function prepareExamples(
  source: DataSource,
  sizes: readonly ImageSize[],
  options: PrepareOptions,
): Preparation {
  const skipped: SkippedExample[] = [];
  return { examples: prepared(source, sizes, options, skipped), skipped };
}

async function* prepared(
  source: DataSource,
  sizes: readonly ImageSize[],
  { background, random, isDone = () => false, ...transform }: PrepareOptions,
  skipped: SkippedExample[],
): AsyncGenerator<PreparedExample> {
  let usable = 0;
  for await (const example of source.examples((one) => skipped.push(one))) {
    const { key, caption } = example;
    const bytes = await bytesOf(example, skipped);
    if (!bytes) continue;
    if (isDone(key, bytes)) {
      usable += 1;
      continue;
    }
    const image = await decoded(key, bytes, background, skipped);
    if (!image) continue;
    const size = nearestBucket(image, sizes);
    if (isSliver(image, size)) {
      skipped.push({
        key,
        reason: `${image.width}x${image.height} pixels are too narrow: a crop keeps less than 1/64`,
      });
      continue;
    }
    const { pixels, timeIds } = transformImage(image, size, random(key), transform);
    usable += 1;
    yield { key, caption, size, pixels, timeIds };
  }
  if (usable === 0) throw nothingUsable(skipped);
}

/** Whether nearly all would be cropped away; enlarging a thin strip to cover the target also fills memory. */
function isSliver(image: ImageSize, target: ImageSize): boolean {
  const { height, width } = coveringSize(image, target);
  return height * width > 64 * target.height * target.width;
}

function bytesOf(example: Example, skipped: SkippedExample[]): Promise<Uint8Array | undefined> {
  return unlessBroken(example.key, skipped, () => example.bytes());
}

function decoded(
  key: string,
  bytes: Uint8Array,
  background: Rgb | undefined,
  skipped: SkippedExample[],
): Promise<RgbImage | undefined> {
  const options = { ...(background && { background }), maxPixels };
  return unlessBroken(key, skipped, async () => (await decodeImage(bytes, options)).image);
}

async function unlessBroken<T>(
  key: string,
  skipped: SkippedExample[],
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    // Not this file's fault, but the process's or the machine's.
    if (tooManyOpen(error)) throw error;
    skipped.push({ key, reason: reasonOf(error) });
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof InvalidRequest) return error.rule;
  return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
}

function nothingUsable(skipped: readonly SkippedExample[]): InvalidRequest {
  const first = skipped[0] ? `; first, "${skipped[0].key}" ${skipped[0].reason}` : "";
  const got = `got none (${skipped.length} skipped${first})`;
  const rule = `must hold at least one readable image with a caption, ${got}.`;
  return new InvalidRequest("data", undefined, `${rule} Check the path and the files.`);
}

/** @file Aspect-ratio buckets, and the batches of an epoch in their order. */

import { InvalidRequest } from "../../errors.js";
import type { ImageSize } from "../../image/pixels.js";
import { byName } from "./example.js";
import { seeded, shuffled } from "./seeded.js";

/**
 * Buckets near `resolution`² pixels, tall to wide: sides that are multiples of `step`, from half to twice
 * the resolution, with 90 to 100 % of its area.
 * At 1024 that is the table of SDXL (arXiv 2307.01952, appendix I).
 */
export function aspectBuckets(
  resolution: number,
  { step = 64 }: { readonly step?: number } = {},
): ImageSize[] {
  if (!Number.isInteger(resolution / step) || resolution < step) {
    const nearest = Math.max(step, Math.round(resolution / step) * step);
    const rule = `must be a multiple of ${step} for aspect-ratio buckets, got ${resolution}.`;
    throw new InvalidRequest("resolution", resolution, `${rule} Nearest: ${nearest}.`);
  }
  const sides = Array.from({ length: (2 * resolution) / step }, (_, i) => (i + 1) * step);
  const fitting = sides.filter((side) => side >= resolution / 2);
  return fitting
    .flatMap((height) => fitting.map((width) => ({ height, width })))
    .filter(
      ({ height, width }) => height * width <= resolution ** 2 && height * width >= 0.9 * resolution ** 2,
    )
    .sort((a, b) => a.width / a.height - b.width / b.height);
}

/** The bucket whose aspect ratio is nearest, measured as a factor; of equally near ones the largest. */
export function nearestBucket(image: ImageSize, buckets: readonly ImageSize[]): ImageSize {
  const ratio = Math.log(image.width / image.height);
  const distance = (bucket: ImageSize) => Math.abs(Math.log(bucket.width / bucket.height) - ratio);
  const nearer = (a: ImageSize, b: ImageSize) => {
    const by = distance(a) - distance(b);
    return by < -1e-9 || (by < 1e-9 && a.height * a.width >= b.height * b.width) ? a : b;
  };
  return buckets.reduce(nearer);
}

/** A bucket's name: "832x1216" is 832 high and 1216 wide. */
export function bucketName({ height, width }: ImageSize): string {
  return `${height}x${width}`;
}

/** Examples of one bucket that are trained on together. */
export type Batch = { readonly bucket: string; readonly keys: readonly string[] };

export type EpochOptions = {
  /** A bucket's last, smaller batch: dropped (default; other examples each epoch) or kept. */
  readonly last?: "drop" | "keep";
};

/**
 * The batches of an epoch. Depends on nothing but its arguments (not on the order of keys or buckets), so
 * training goes on from any batch by asking again. Throws InvalidRequest if no bucket fills a batch.
 */
export function epochBatches(
  epoch: number,
  seed: number,
  keysByBucket: ReadonlyMap<string, readonly string[]>,
  batchSize: number,
  { last = "drop" }: EpochOptions = {},
): Batch[] {
  const batches: Batch[] = [];
  for (const bucket of [...keysByBucket.keys()].sort(byName)) {
    const sorted = [...keysByBucket.get(bucket)!].sort(byName);
    const keys = shuffled(sorted, seeded(seed, "examples", epoch, bucket));
    const end = last === "keep" ? keys.length : keys.length - (keys.length % batchSize);
    for (let at = 0; at < end; at += batchSize)
      batches.push({ bucket, keys: keys.slice(at, at + batchSize) });
  }
  if (batches.length === 0) throw noBatch(keysByBucket, batchSize);
  return shuffled(batches, seeded(seed, "batches", epoch));
}

/** A position in the data: the next batch is number `batch` of `epoch`, both from 0. */
export type Position = { readonly epoch: number; readonly batch: number };

/** Batches without end from a position on, each with the position after it (for the checkpoint). */
export function* batchesFrom(
  { epoch, batch }: Position,
  ...[seed, keysByBucket, batchSize, options]: [
    seed: number,
    keysByBucket: ReadonlyMap<string, readonly string[]>,
    batchSize: number,
    options?: EpochOptions,
  ]
): Generator<Batch & { readonly next: Position }> {
  for (let at = batch; ; epoch++, at = 0) {
    const batches = epochBatches(epoch, seed, keysByBucket, batchSize, options);
    for (; at < batches.length; at++) {
      const next = at + 1 < batches.length ? { epoch, batch: at + 1 } : { epoch: epoch + 1, batch: 0 };
      yield { ...batches[at]!, next };
    }
  }
}

/** Buckets with fewer examples than a batch: with `last: "drop"` these are never trained on. */
export function unfilledBuckets(
  keysByBucket: ReadonlyMap<string, readonly string[]>,
  batchSize: number,
): string[] {
  return [...keysByBucket].filter(([, keys]) => keys.length < batchSize).map(([bucket]) => bucket);
}

function noBatch(keysByBucket: ReadonlyMap<string, readonly string[]>, batchSize: number): InvalidRequest {
  const most = Math.max(0, ...[...keysByBucket.values()].map((keys) => keys.length));
  const rule = `must be at most the examples of the fullest bucket, ${most}, got ${batchSize}.`;
  return new InvalidRequest(
    "batchSize",
    batchSize,
    `${rule} Take smaller batches, fewer buckets or more data.`,
  );
}

/**
 * @file Batches of noisy latents and conditions, the inputs of both networks of a step. Everything random depends on the
 * seed and the batch's number alone, so a resumed run draws the same numbers.
 */

import { Generator } from "../diffusion/random.js";
import { floats, type Values } from "../engine/engine.js";
import type { CachedBatch, LatentCache } from "./cache/cache.js";
import { batchesFrom, type Position } from "./data/buckets.js";
import { type DropoutRule, type Dropped, drawDropout, dropCaption } from "./data/captions.js";
import { below, seeded } from "./data/seeded.js";
import {
  addNoise,
  drawNoise,
  drawTimesteps,
  minSnrWeights,
  type TrainingNoise,
  trainingTarget,
} from "./noise.js";
import type { TrainingOptions } from "./options.js";

export type NoisyBatch = {
  /** The captions, and which of them were dropped. */
  words: readonly string[];
  dropped: readonly Dropped[];
  /** Those of `unetInputs` by name, `target`, `task_weights`: those that this run uses. */
  inputs: Record<string, Values>;
  timesteps: Float64Array;
  keys: readonly string[];
  next: Position;
};

/** The batch at `position`, number `batch` of the run; with `among` at these timesteps alone. */
export async function noisyBatch(
  cache: LatentCache,
  schedule: TrainingNoise,
  options: TrainingOptions,
  { position, batch }: { position: Position; batch: number },
  among?: readonly number[],
): Promise<NoisyBatch> {
  const {
    seed,
    trainBatchSize,
    noiseOffset,
    timestepBias: noisier,
    snrGamma: gamma,
    snrRule: rule,
  } = options;
  const { keys, next } = batchesFrom(position, seed, cache.keysByBucket, trainBatchSize).next().value!;
  const generator = new Generator(below(2 ** 32, seeded(seed, "noise", batch)));
  const read = await cache.read(keys);
  const latents = read.sample(generator);
  const [channels, height, width] = read.latentShape;
  const shape = [keys.length, channels, height, width] as const;
  const noise = drawNoise(shape, generator, { noiseOffset });
  const timesteps = drawTimesteps(schedule, keys.length, generator, { noisier, among });
  const dropped = keys.map((_: string, i: number) =>
    drawDropout(options.captionDropoutRule, options.captionDropout, seeded(seed, "captions", batch, i)),
  );
  return {
    ...{ keys, next, timesteps },
    words: read.words,
    dropped,
    inputs: {
      sample: { data: addNoise(schedule, latents, noise, timesteps), shape },
      target: { data: trainingTarget(schedule, latents, noise, timesteps), shape },
      timestep: floats(Float32Array.from(timesteps), keys.length),
      ...conditioning(read, cache, options, dropped),
      ...(gamma !== null && {
        task_weights: floats(minSnrWeights(schedule, timesteps, { gamma, rule }), keys.length),
      }),
    },
  };
}

/** The text conditioning, with dropped captions replaced. */
function conditioning(
  read: CachedBatch,
  cache: LatentCache,
  { captionDropoutRule }: TrainingOptions,
  dropped: readonly Dropped[],
): Record<string, Values> {
  const rows = read.captions.map((given, i) => {
    const { text, pooled } = dropped[i]!;
    return text || pooled ? dropCaption(captionDropoutRule, given, dropped[i]!, cache.empty) : given;
  });
  const [tokens, width] = cache.textShape;
  const text = {
    encoder_hidden_states: joined(
      rows.map((r) => r.promptEmbeds),
      tokens,
      width,
    ),
  };
  if (!rows[0]!.pooled) return text;
  const pooled = rows.map((r) => r.pooled!);
  return {
    ...text,
    text_embeds: joined(pooled, pooled[0]!.length),
    time_ids: joined(
      read.timeIds.map((ids) => Float32Array.from(ids)),
      6,
    ),
  };
}

/** What stands for no caption, in a batch of `n`: zeros, or the embeddings of "". */
export function emptyCaptions(cache: LatentCache, rule: DropoutRule, n: number): Record<string, Values> {
  const { promptEmbeds, pooled } = rule === "zeros" ? cache.zeros : cache.empty;
  const repeated = (row: Float32Array) => Array.from({ length: n }, () => row);
  const [tokens, width] = cache.textShape;
  return {
    encoder_hidden_states: joined(repeated(promptEmbeds), tokens, width),
    ...(pooled && { text_embeds: joined(repeated(pooled), pooled.length) }),
  };
}

function joined(rows: readonly Float32Array[], ...shape: number[]): Values {
  const size = rows[0]!.length;
  const data = new Float32Array(rows.length * size);
  for (const [i, row] of rows.entries()) data.set(row, i * size);
  return { data, shape: [rows.length, ...shape] };
}

/** @file Options that every training function takes: data, output, settings, events; and the cache of its data. */

import path from "node:path";
import { Cancelled, InvalidRequest, listed } from "../errors.js";
import { checkWritable } from "../files/writable.js";
import type { Components } from "../pipeline/components.js";
import { buildCache } from "./cache/build.js";
import { type LatentCache, openCache } from "./cache/cache.js";
import { aspectBuckets } from "./data/buckets.js";
import type { DataOptions } from "./data/example.js";
import { openData } from "./data/source.js";
import type { TrainingEvent } from "./events.js";
import { type TrainingNoise, trainingNoise } from "./noise.js";
import { type TrainingOptions, type TrainingRequest, trainingOptions } from "./options.js";

export type TrainingRunOptions = {
  /** Training data: a folder of images with captions, WebDataset .tar shards, .parquet files, or a pattern of such. */
  data: string;
  /** Column of the captions, or field of JSON. Default "text", else "caption", else the only column of texts. */
  captionColumn?: string;
  /** Column of the images (parquet), of their file names (tables), or the images' extension (WebDataset). */
  imageColumn?: string;
  /** A new folder, which becomes a complete model folder and holds the run: metrics, checkpoints, samples. */
  output: string;
  /** Continues the run in `output` from its last checkpoint, bit for bit. Default false: a run there is refused. */
  resume?: boolean;
  /** Stops the run after the running batch; what was computed is saved. */
  signal?: AbortSignal;
  /** Called at every event of the run, such as an update. */
  onEvent?: (event: TrainingEvent) => void;
};

/** Options of a run on cached latents. */
export type CachedRunOptions = TrainingRunOptions & {
  /** Where latents and embeddings of the data are kept, for several runs if need be. Default `output`/cache. */
  cacheFolder?: string;
};

/** A run's options with defaults filled in. */
export type TrainingRun = {
  data: string;
  dataOptions: DataOptions;
  output: string;
  cacheFolder: string;
  resume: boolean;
  options: TrainingOptions;
  signal: AbortSignal | undefined;
  onEvent: (event: TrainingEvent) => void;
};

/** Settings that only one kind of training has a use for; the other kinds refuse them. */
export const distillationSettings = [
  ...["initialLayers", "feature", "featureLoss", "loss", "samplingSteps", "consistency", "trajectory"],
] as const satisfies readonly (keyof TrainingRequest)[];
export const autoencoderSettings = ["latentMomentWeight", "latentNoise", "decoderOnly"] as const;
export const diffusionSettings = [
  ...["lora", "predictionType", "rescaleBetasZeroSnr", "snrGamma", "snrRule", "noiseOffset", "timestepBias"],
  ...["aspectRatioBuckets", "captionDropout", "captionDropoutRule", "gradientCheckpointing"],
  ...["validationSteps", "validationPrompts"],
] as const satisfies readonly (keyof TrainingRequest)[];

export type DistillationSetting = (typeof distillationSettings)[number];
export type AutoencoderSetting = (typeof autoencoderSettings)[number];
export type DiffusionSetting = (typeof diffusionSettings)[number];

/** Fills in defaults and checks; InvalidRequest for a setting among `unsupported`, which this kind of run has no use for. */
export function resolveRun(
  options: CachedRunOptions & TrainingRequest,
  unsupported: readonly (keyof TrainingRequest)[],
  fixed: TrainingRequest = {},
): TrainingRun {
  const { data, captionColumn, imageColumn, output, cacheFolder, resume = false, ...rest } = options;
  const { signal, onEvent = () => {}, ...settings } = rest;
  const useless = unsupported.find((name) => settings[name] !== undefined);
  if (useless) {
    const rule = `has no effect on this kind of training, got ${JSON.stringify(settings[useless])}. Leave it out.`;
    throw new InvalidRequest(useless, settings[useless], rule);
  }
  const resolved = trainingOptions({ ...settings, ...fixed });
  return {
    data,
    dataOptions: { captionColumn, imageColumn, seed: resolved.seed },
    output,
    cacheFolder: cacheFolder ?? path.join(output, "cache"),
    resume,
    options: resolved,
    signal,
    onEvent,
  };
}

/** Checks before a run that its folders can be written to; FileError. */
export async function checkFolders(...folders: readonly (string | undefined)[]): Promise<void> {
  for (const folder of new Set(folders)) if (folder !== undefined) await checkWritable(folder);
}

/** Encodes the data into the cache, as far as it is not there yet, and opens it; Cancelled when the signal fires. */
export async function openRunCache(
  { data, dataOptions, cacheFolder, options, signal, onEvent }: TrainingRun,
  components: Components,
): Promise<LatentCache> {
  const { skipped } = await buildCache({
    data: await openData(data, dataOptions),
    dataPath: data,
    dataOptions,
    components,
    folder: cacheFolder,
    resolution: options.resolution,
    ...(options.aspectRatioBuckets && { buckets: aspectBuckets(options.resolution) }),
    crop: options.randomCrop ? "random" : "center",
    flip: options.randomFlip,
    seed: options.seed,
    ...(signal && { signal }),
    onProgress: (progress) => onEvent({ type: "encoding", ...progress }),
  });
  onEvent({ type: "skipped", examples: skipped });
  if (signal?.aborted) throw new Cancelled("the training");
  const cache = await openCache(cacheFolder);
  checkBatches(cache, options.trainBatchSize);
  return cache;
}

/** Refuses data that can never fill a batch, before anything is computed. */
export function checkBatches(cache: LatentCache, batchSize: number): void {
  const sizes = [...cache.keysByBucket].map(([bucket, keys]) => `${bucket}: ${keys.length}`);
  if ([...cache.keysByBucket.values()].some((keys) => keys.length >= batchSize)) return;
  const rule = `must be at most the images of a bucket (${listed(sizes)}), got ${batchSize}.`;
  throw new InvalidRequest(
    "trainBatchSize",
    batchSize,
    `${rule} Take a smaller batch, or accumulate gradients.`,
  );
}

/** The noise of a model's scheduler, as the run's settings change it. */
export const runNoise = (
  { scheduler }: Pick<Components, "scheduler">,
  options: TrainingOptions,
): TrainingNoise => trainingNoise(scheduler.config, noiseOverrides(options));

/** What a run's settings change of the noise. */
export const noiseOverrides = ({ predictionType, rescaleBetasZeroSnr }: TrainingOptions) => ({
  ...(predictionType !== null && { target: predictionType }),
  rescaleBetasZeroSnr,
});

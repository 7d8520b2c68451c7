/** @file The flags that every training command has, and the options of the training functions that they set. */

import { type Command, Option } from "commander";
import { closest } from "../closest.js";
import { InvalidRequest, listed } from "../errors.js";
import { type DropoutRule, dropoutRules } from "../train/data/captions.js";
import { type FeatureSet, featureSets } from "../train/features.js";
import { type LayerRule, layerRules } from "../train/layer-mapping.js";
import type { LoraRequest } from "../train/lora/options.js";
import { type FeatureLoss, featureLosses, type LossWeights } from "../train/loss.js";
import { type LrSchedule, lrSchedules } from "../train/lr-schedule.js";
import { type TargetType, targetTypes } from "../train/noise.js";
import type { TrainingRequest } from "../train/options.js";
import type { CachedRunOptions } from "../train/run-options.js";
import type { ConsistencyRequest, TrajectoryRequest } from "../train/step-distillation/options.js";
import { numberOption, threadsOption } from "./numbers.js";
import { settingsOption } from "./settings-flag.js";

const list = (value: string, before: string[] | undefined) => [...(before ?? []), value];

/** Flags of the data, the optimizer and the run. */
export function addTrainingOptions(command: Command): Command {
  return command
    .option("--caption-column <name>", "column, or field of JSON, with the captions")
    .option("--image-column <name>", "column with images or their file names; of .tar, their extension")
    .option("--resolution <pixels>", "height and width that images are brought to", numberOption)
    .option("--buckets", "keep aspect ratios, at about as many pixels")
    .option("--random-crop", "crop at random in place of the centre")
    .option("--random-flip", "mirror half of the images")
    .option("--caption-dropout <share>", "share of captions left out", numberOption)
    .addOption(new Option("--dropout-rule <rule>", "what takes their place").choices([...dropoutRules]))
    .addOption(
      new Option("--prediction <type>", "what the network predicts (default: as the model)").choices([
        ...targetTypes,
      ]),
    )
    .option("--zero-snr", "rescale the schedule so that its last step is pure noise")
    .option("--snr-gamma <n>", "min-SNR weights of the task loss; 5 is usual", numberOption)
    .option("--noise-offset <n>", "shift each channel's noise by this much", numberOption)
    .option("--timestep-bias <n>", "draw the noisier half of timesteps n times as often", numberOption)
    .option("--lora [settings]", "train a LoRA; such as rank=8,targets=to_q,to_v", settingsOption("--lora"))
    .option("-b, --batch-size <n>", "images in a batch", numberOption)
    .option("--accumulate <n>", "batches in an update", numberOption)
    .option("-s, --steps <n>", "updates", numberOption)
    .option("--lr <rate>", "learning rate", numberOption)
    .addOption(new Option("--lr-schedule <name>", "how the rate goes").choices([...lrSchedules]))
    .option("--warmup <n>", "updates until the rate is reached", numberOption)
    .option("--weight-decay <n>", "AdamW's", numberOption)
    .option("--max-grad-norm <n>", "clip the gradient at this norm; 0 does not", numberOption)
    .option("--ema [decay]", "keep and save a moving average of the weights")
    .option("--seed <n>", "of everything random", numberOption)
    .option("--checkpoint-every <n>", "updates between checkpoints", numberOption)
    .option("--keep <n>", "checkpoints kept", numberOption)
    .option("--validate-every <n>", "updates between validation images", numberOption)
    .option("--prompt <text>", "a validation prompt; may be given several times", list)
    .option("--gradient-checkpointing", "less memory, more time: compute activations again")
    .option("--data-parallel <n>", "cut batches into n shares, each on a core", numberOption)
    .option("--threads <n>", "threads (default: one per core)", threadsOption)
    .option("--device <name>", "cpu (default), webgpu, cuda, dml, coreml or auto")
    .option("--allow-cpu-fallback", "let operations that the device lacks run on the CPU")
    .option("--allow-software-adapter", "take a graphics driver that computes on the CPU")
    .option("--cache <folder>", "where latents and embeddings are kept (default: OUTPUT/cache)")
    .option("--resume", "go on from the last checkpoint in the output folder")
    .option("--json", "print metrics as JSON lines on standard output")
    .option("-q, --quiet", "no progress, no notes");
}

/** Flags of distillation alone. */
export function addDistillationOptions(command: Command): Command {
  return command
    .option("--feature <set>", "koala, sa, ca, res, ffn, lf, none and others", parseFeature)
    .option("--feature-loss <kind>", featureLosses.join(" (default) or "))
    .option("--loss <weights>", "such as task=1,out=1,feat=1,solver=0", parseLoss)
    .option(
      "--consistency [settings]",
      "to few steps, as LCM; such as w-min=3,w-max=15",
      settingsOption("--consistency"),
    )
    .option(
      "--trajectory <settings>",
      "to few steps, progressively; such as steps=4",
      settingsOption("--trajectory"),
    )
    .option("--sampling-steps <n>", "train only at the timesteps of so many steps", numberOption)
    .addOption(
      new Option("--layers <rule>", "which of the teacher's layers the student begins as").choices([
        ...layerRules,
      ]),
    );
}

/** What few runs need. */
const rare: ReadonlySet<string> = new Set([
  ...["--image-column", "--random-crop", "--random-flip", "--dropout-rule", "--prediction", "--zero-snr"],
  ...["--snr-gamma", "--noise-offset", "--timestep-bias", "--lr-schedule", "--warmup", "--weight-decay"],
  ...["--max-grad-norm", "--seed", "--keep", "--threads", "--allow-cpu-fallback", "--allow-software-adapter"],
  ...["--cache", "--layers", "--link", "--json", "--quiet", "--latent-moments", "--latent-noise"],
]);

/** Leaves rare flags out of `--help`, to fit a screen; `--help-all` has them. To be called with all flags there. */
export function withShortHelp(command: Command): Command {
  for (const option of command.options) if (rare.has(option.long!)) option.hidden = true;
  return command.option("--help-all", "list the rarer flags too").on("option:help-all", () => {
    for (const option of command.options) option.hidden = false;
    command.help();
  });
}

export type TrainingFlags = {
  captionColumn?: string;
  imageColumn?: string;
  resolution?: number;
  buckets?: boolean;
  randomCrop?: boolean;
  randomFlip?: boolean;
  captionDropout?: number;
  dropoutRule?: DropoutRule;
  prediction?: TargetType;
  zeroSnr?: boolean;
  snrGamma?: number;
  noiseOffset?: number;
  timestepBias?: number;
  latentMoments?: number;
  latentNoise?: number;
  decoderOnly?: boolean;
  batchSize?: number;
  accumulate?: number;
  steps?: number;
  lr?: number;
  lrSchedule?: LrSchedule;
  warmup?: number;
  weightDecay?: number;
  maxGradNorm?: number;
  ema?: boolean | string;
  seed?: number;
  checkpointEvery?: number;
  keep?: number;
  validateEvery?: number;
  prompt?: string[];
  gradientCheckpointing?: boolean;
  dataParallel?: number;
  threads?: number;
  device?: string;
  allowCpuFallback?: boolean;
  allowSoftwareAdapter?: boolean;
  cache?: string;
  resume?: boolean;
  json?: boolean;
  quiet?: boolean;
  feature?: FeatureSet;
  featureLoss?: FeatureLoss;
  loss?: Partial<LossWeights>;
  consistency?: true | ConsistencyRequest;
  trajectory?: TrajectoryRequest;
  lora?: true | LoraRequest;
  samplingSteps?: number;
  layers?: LayerRule;
};

/** The flag that sets each of the trainer's options; some have none. */
export const trainingFlags = {
  initialLayers: "layers",
  feature: "feature",
  featureLoss: "featureLoss",
  loss: "loss",
  consistency: "consistency",
  trajectory: "trajectory",
  samplingSteps: "samplingSteps",
  lora: "lora",
  predictionType: "prediction",
  rescaleBetasZeroSnr: "zeroSnr",
  snrGamma: "snrGamma",
  snrRule: undefined,
  noiseOffset: "noiseOffset",
  timestepBias: "timestepBias",
  latentMomentWeight: "latentMoments",
  latentNoise: "latentNoise",
  decoderOnly: "decoderOnly",
  resolution: "resolution",
  aspectRatioBuckets: "buckets",
  randomCrop: "randomCrop",
  randomFlip: "randomFlip",
  captionDropout: "captionDropout",
  captionDropoutRule: "dropoutRule",
  trainBatchSize: "batchSize",
  gradientAccumulationSteps: "accumulate",
  maxTrainSteps: "steps",
  learningRate: "lr",
  lrScheduler: "lrSchedule",
  lrWarmupSteps: "warmup",
  lrNumCycles: undefined,
  adamBeta1: undefined,
  adamBeta2: undefined,
  adamWeightDecay: "weightDecay",
  adamEpsilon: undefined,
  maxGradNorm: "maxGradNorm",
  ema: "ema",
  seed: "seed",
  checkpointingSteps: "checkpointEvery",
  checkpointsTotalLimit: "keep",
  validationSteps: "validateEvery",
  validationPrompts: "prompt",
  gradientCheckpointing: "gradientCheckpointing",
  dataParallel: "dataParallel",
  threads: "threads",
  device: "device",
  allowCpuFallback: "allowCpuFallback",
  allowSoftwareAdapter: "allowSoftwareAdapter",
} as const satisfies Record<keyof TrainingRequest, keyof TrainingFlags | undefined>;

/** The settings that the flags give. */
export function trainingRequest(flags: TrainingFlags): TrainingRequest {
  const { lrSchedule, warmup, maxGradNorm, ema, consistency, lora } = flags;
  const values: Record<string, unknown> = {
    ...flags,
    lrSchedule: lrSchedule ?? (warmup ? "constant_with_warmup" : undefined),
    maxGradNorm: maxGradNorm === 0 ? null : maxGradNorm,
    consistency: consistency === true ? {} : consistency,
    lora: lora === true ? {} : lora,
    ema: ema === undefined ? undefined : ema === true ? {} : { decay: Number(ema) },
  };
  return Object.fromEntries(
    Object.entries(trainingFlags)
      .map(([option, flag]) => [option, flag && values[flag]] as const)
      .filter(([, value]) => value !== undefined),
  ) as TrainingRequest;
}

/** How the data is read, and where latents are kept. */
export function runOptions({
  captionColumn,
  imageColumn,
  cache,
}: TrainingFlags): Pick<CachedRunOptions, "captionColumn" | "imageColumn" | "cacheFolder"> {
  return {
    ...(captionColumn !== undefined && { captionColumn }),
    ...(imageColumn !== undefined && { imageColumn }),
    ...(cache !== undefined && { cacheFolder: cache }),
  };
}

/** The flag that sets each option of a run that has another name. */
export const runFlags = {
  captionColumn: "captionColumn",
  imageColumn: "imageColumn",
  cacheFolder: "cache",
  teacherCache: "teacherCache",
  resume: "resume",
} as const satisfies Record<string, string>;

const terms: readonly string[] = ["task", "out", "feat", "solver"] satisfies (keyof LossWeights)[];

/**
 * Parses `--loss task=1,out=0.5`: a term that is not named keeps its default, and 0 leaves it out.
 * Throws InvalidRequest.
 */
export function parseLoss(text: string): Partial<LossWeights> {
  const refuse = (rule: string): never => {
    throw new InvalidRequest("--loss", text, rule);
  };
  const given = new Map<string, number>();
  for (const one of text.split(",")) {
    const [, name, value] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/.exec(one) ?? [];
    if (name === undefined || value === undefined) {
      return refuse(`must be written as "task=1,out=1,feat=1", got "${text}".`);
    }
    if (!terms.includes(name)) {
      const near = closest(name, terms);
      refuse(`must name task, out, feat or solver, got "${name}".${near ? ` Did you mean "${near}"?` : ""}`);
    }
    if (given.has(name)) refuse(`must name each term once, got "${name}" twice.`);
    const factor = value === "" ? Number.NaN : Number(value);
    if (!(factor >= 0 && factor < Infinity))
      refuse(`${name} must be a number of at least 0, got "${value}".`);
    given.set(name, factor);
  }
  return Object.fromEntries(given);
}

/** Parses `--feature sa-top` or `sa_top`. Throws InvalidRequest. */
export function parseFeature(text: string): FeatureSet {
  const name = text.trim().replaceAll("-", "_");
  const found = featureSets.find((set) => set === name);
  if (found) return found;
  const near = closest(name, featureSets);
  const rule = `must be one of ${listed([...featureSets], 20)}, got "${text}".`;
  throw new InvalidRequest("--feature", text, near ? `${rule} Did you mean "${near}"?` : rule);
}

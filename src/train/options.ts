/** @file The settings of a training run: types, defaults and checks. */

import { z } from "zod";
import { parseDevice } from "../engine/device.js";
import { checkThreads } from "../engine/thread-count.js";
import { InvalidRequest, listed } from "../errors.js";
import { schemaProblem } from "../validation.js";
import { type DropoutRule, dropoutRules } from "./data/captions.js";
import type { EmaOptions } from "./ema.js";
import { type FeatureSet, featureSets } from "./features.js";
import { type LayerRule, layerRules } from "./layer-mapping.js";
import { type LoraOptions, type LoraRequest, loraOptions, loraSchema } from "./lora/options.js";
import { type FeatureLoss, featureLosses, type LossWeights } from "./loss.js";
import { type LrSchedule, lrSchedules } from "./lr-schedule.js";
import { type SnrRule, snrRules, type TargetType, targetTypes } from "./noise.js";
import {
  type ConsistencyOptions,
  type ConsistencyRequest,
  checkConsistency,
  consistencySchema,
  type TrajectoryOptions,
  type TrajectoryRequest,
  trajectorySchema,
} from "./step-distillation/options.js";

const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, `must be one of ${listed([...values], 20)}`);
const count = z.int("must be a whole number above 0").positive("must be a whole number above 0");
const countOrNone = z.int("must be a whole number, or 0").nonnegative("must be a whole number, or 0");
const number = z.number("must be a number of at least 0").nonnegative("must be a number of at least 0");
const above = z.number("must be a number above 0").positive("must be a number above 0");
const share = z.number("must be a number from 0 to 1").min(0, "must be a number from 0 to 1");
const part = share.max(1, "must be a number from 0 to 1");
const momentum = share.lt(1, "must be a number from 0 to 1, below 1");
const flag = z.boolean("must be true or false");
const pixels = count.multipleOf(8, "must be a multiple of 8");

/** Settings of a training run: names as in Diffusers' training scripts, in camelCase. Steps count updates of the weights. */
export type TrainingRequest = {
  /**
   * Which of the teacher's transformer layers the student begins as (KOALA, appendix B.4). Default "bottom". Of
   * distillation alone.
   */
  initialLayers?: LayerRule;
  /** Which features of the teacher the student learns (KOALA, section 3.1.2). Default "koala". Of distillation alone. */
  feature?: FeatureSet;
  /** Whether a feature's error is divided by the mean square of the teacher's. Default "plain". Of distillation alone. */
  featureLoss?: FeatureLoss;
  /**
   * Factors of the terms of the loss, each 0 or above (KOALA, section 3.1.2); 0 leaves a term out. Default 1 each, and
   * `solver` 0; in a step distillation `solver` 1 and the others 0. Of distillation alone.
   */
  loss?: Partial<LossWeights>;
  /**
   * Draws only the timesteps at which the teacher's scheduler runs a network in so many steps: of a teacher that was
   * distilled to few steps. Default null: all. Of distillation alone.
   */
  samplingSteps?: number | null;
  /** Consistency distillation, with these settings; {} takes its defaults. Default null: none. Of distillation alone. */
  consistency?: ConsistencyRequest | null;
  /** Distillation of trajectories to few steps. Default null: none. Of distillation alone. */
  trajectory?: TrajectoryRequest | null;

  /**
   * Trains a LoRA beside the network's weights, which stay as they are, with these settings; {} takes its defaults. Default
   * null: the weights themselves are trained.
   */
  lora?: LoraRequest | null;

  /** What the network predicts. Default null: what the scheduler's config of the teacher or model says. */
  predictionType?: TargetType | null;
  /** Makes the last timestep pure noise (Lin et al. 2024, algorithm 1). Default false. */
  rescaleBetasZeroSnr?: boolean;
  /** Gamma of the min-SNR weights of the task loss (Hang et al. 2023), above 0; 5 is usual. Default null: no weights. */
  snrGamma?: number | null;
  /** The min-SNR weights of Diffusers' scripts as they are now, or as they were for v-prediction. Default "current". */
  snrRule?: SnrRule;
  /** Shifts each channel's noise by this times a normal number (Guttenberg 2023), 0 or above; 0.1 is usual. Default 0. */
  noiseOffset?: number;
  /** How many times as often the noisier half of the timesteps is drawn as the other half, above 0. Default 1. */
  timestepBias?: number;

  /** Height and width that images are resized and cropped to, in pixels, a multiple of 8. Default 512. */
  resolution?: number;
  /** Buckets of several aspect ratios and about `resolution` squared pixels, in place of squares. Default false. */
  aspectRatioBuckets?: boolean;
  /** Crops at random in place of the centre. Default false. */
  randomCrop?: boolean;
  /** Mirrors half of the images. Default false. */
  randomFlip?: boolean;
  /** Share of captions dropped while training, 0 to 1, for classifier-free guidance; 0.1 is usual. Default 0. */
  captionDropout?: number;
  /** What replaces a dropped caption's embeddings; SDXL's guidance uses zeros without a negative prompt. Default "zeros". */
  captionDropoutRule?: DropoutRule;

  /**
   * Weight of a loss that holds the latent channels at mean 0 and variance 1, 0 or above; 0.02 is usual. Default 0. Of an
   * autoencoder alone.
   */
  latentMomentWeight?: number;
  /** Standard deviation of noise added to latents before they are decoded, 0 or above. Default 0. Of an autoencoder alone. */
  latentNoise?: number;
  /** Trains the decoder alone, so that models of its latents stay valid. Default false. Of an autoencoder alone. */
  decoderOnly?: boolean;

  /** Images in a batch, a whole number above 0. Default 8. */
  trainBatchSize?: number;
  /** Batches whose gradients one update averages, a whole number above 0. Default 1. */
  gradientAccumulationSteps?: number;
  /** Updates of the whole run, a whole number above 0. Default 10,000. */
  maxTrainSteps?: number;
  /** Learning rate after the warm-up, 0 or above. Default 1e-5 (KOALA, section 4.1). */
  learningRate?: number;
  /** How the learning rate changes, as in Diffusers' `get_scheduler`. Default "constant". */
  lrScheduler?: LrSchedule;
  /** Updates over which the learning rate rises from 0, fewer than `maxTrainSteps`. Default 0. */
  lrWarmupSteps?: number;
  /** Cycles of "cosine_with_restarts", a whole number above 0. Default 1. */
  lrNumCycles?: number;
  /** AdamW's decay of the first moment, 0 or above and below 1. Default 0.9. */
  adamBeta1?: number;
  /** AdamW's decay of the second moment, 0 or above and below 1. Default 0.999. */
  adamBeta2?: number;
  /** AdamW's decoupled weight decay, 0 or above (Loshchilov and Hutter 2019). Default 0.01. */
  adamWeightDecay?: number;
  /** AdamW's epsilon, above 0. Default 1e-8. */
  adamEpsilon?: number;
  /** Norm at which the gradient is clipped, above 0; null does not clip. Default 1. */
  maxGradNorm?: number | null;
  /** Keeps and saves an exponential moving average of the weights; {} takes its defaults. Default null: none. */
  ema?: EmaOptions | null;

  /** Seed of everything random, a whole number of at least 0. Default 0. */
  seed?: number;
  /** Updates between checkpoints, a whole number above 0. Default 500. */
  checkpointingSteps?: number;
  /** How many checkpoints are kept; null keeps all. Default 2. */
  checkpointsTotalLimit?: number | null;
  /** Updates between validation images; 0 generates none. Default 0. */
  validationSteps?: number;
  /** Prompts of the validation images. Default none. */
  validationPrompts?: readonly string[];
  /** Recomputes activations in the backward pass: less memory, more time. Default false. */
  gradientCheckpointing?: boolean;
  /** Equal shares of a batch, each computed by a thread of its own on one core; divides `trainBatchSize`. Default 1. */
  dataParallel?: number;
  /** Threads of one operation; 0 takes one per core. Default 0. */
  threads?: number;
  /**
   * Where the networks are computed: `cpu`, `webgpu`, `cuda`, `cuda:1`, `dml`, `coreml`, or `auto` for the best there is.
   * Weights, moments and the update stay on the CPU. Default "cpu".
   */
  device?: string;
  /** Lets operations that the device has no kernel for run on the CPU, with a warning. Default false: an error. */
  allowCpuFallback?: boolean;
  /** Takes a graphics driver that computes on the CPU. Default false: an error. */
  allowSoftwareAdapter?: boolean;
};

/** Every setting of a run, as `run.json` keeps them. */
export type TrainingOptions = Omit<
  Required<TrainingRequest>,
  "loss" | "ema" | "consistency" | "trajectory" | "lora"
> & {
  loss: LossWeights;
  ema: Required<EmaOptions> | null;
  consistency: ConsistencyOptions | null;
  trajectory: TrajectoryOptions | null;
  lora: LoraOptions | null;
};

const ema = z.strictObject({
  decay: part.default(0.9999),
  minDecay: part.default(0),
  updateAfterStep: countOrNone.default(0),
  useEmaWarmup: flag.default(false),
  invGamma: above.default(1),
  power: above.default(2 / 3),
} satisfies Record<keyof EmaOptions, z.ZodType>);

/** Defaults: the paper's (section 4.1) where it has them, else Diffusers'. */
const schema = z.strictObject({
  initialLayers: oneOf(layerRules).default("bottom"),
  feature: oneOf(featureSets).default("koala"),
  featureLoss: oneOf(featureLosses).default("plain"),
  loss: z
    .strictObject({
      task: number.optional(),
      out: number.optional(),
      feat: number.optional(),
      solver: number.optional(),
    })
    .default({}),
  samplingSteps: count.nullable().default(null),
  consistency: consistencySchema.nullable().default(null),
  trajectory: trajectorySchema.nullable().default(null),
  lora: loraSchema.nullable().default(null),

  predictionType: oneOf(targetTypes).nullable().default(null),
  rescaleBetasZeroSnr: flag.default(false),
  snrGamma: above.nullable().default(null),
  snrRule: oneOf(snrRules).default("current"),
  noiseOffset: number.default(0),
  timestepBias: above.default(1),

  resolution: pixels.default(512),
  aspectRatioBuckets: flag.default(false),
  randomCrop: flag.default(false),
  randomFlip: flag.default(false),
  captionDropout: part.default(0),
  captionDropoutRule: oneOf(dropoutRules).default("zeros"),

  latentMomentWeight: number.default(0),
  latentNoise: number.default(0),
  decoderOnly: flag.default(false),

  trainBatchSize: count.default(8),
  gradientAccumulationSteps: count.default(1),
  maxTrainSteps: count.default(10_000),
  learningRate: number.default(1e-5),
  lrScheduler: oneOf(lrSchedules).default("constant"),
  lrWarmupSteps: countOrNone.default(0),
  lrNumCycles: count.default(1),
  adamBeta1: momentum.default(0.9),
  adamBeta2: momentum.default(0.999),
  adamWeightDecay: number.default(1e-2),
  adamEpsilon: above.default(1e-8),
  maxGradNorm: above.nullable().default(1),
  ema: ema.nullable().default(null),

  seed: z.int("must be a whole number").min(0, "must be a whole number of at least 0").default(0),
  checkpointingSteps: count.default(500),
  checkpointsTotalLimit: count.nullable().default(2),
  validationSteps: countOrNone.default(0),
  validationPrompts: z.array(z.string("must be a text"), "must be a list of texts").default([]),
  gradientCheckpointing: flag.default(false),
  dataParallel: count.default(1),
  threads: countOrNone.default(0),
  device: z.string("must be the name of a device").default("cpu"),
  allowCpuFallback: flag.default(false),
  allowSoftwareAdapter: flag.default(false),
} satisfies Record<keyof TrainingRequest, z.ZodType>);

/** Fills in defaults and checks; InvalidRequest names the field. */
export function trainingOptions(request: unknown = {}): TrainingOptions {
  const parsed = schema.safeParse(request);
  if (!parsed.success) throw refusal(parsed.error, request);
  const { consistency, trajectory, loss, lora } = parsed.data;
  const isStepDistillation = (consistency ?? trajectory) !== null;
  const options = {
    ...parsed.data,
    loss: lossWeights(loss, isStepDistillation),
    lora: lora && loraOptions(lora, isStepDistillation),
  };
  checkTogether(options);
  return options;
}

/** The factors, where some are not given: KOALA's three terms, or a step distillation's one. */
function lossWeights(
  { task, out, feat, solver }: { [Term in keyof LossWeights]?: number | undefined },
  isStepDistillation: boolean,
): LossWeights {
  const koala = isStepDistillation ? 0 : 1;
  return {
    ...{ task: task ?? koala, out: out ?? koala, feat: feat ?? koala },
    ...(isStepDistillation ? { solver: solver ?? 1 } : solver !== undefined && { solver }),
  };
}

function checkTogether(o: TrainingOptions): void {
  checkThreads(o.threads);
  parseDevice(o.device);
  const { task, out, feat, solver = 0 } = o.loss;
  if (task === 0 && out === 0 && solver === 0 && (feat === 0 || o.feature === "none")) {
    const rule = 'must leave something to learn from, got 0 for every term, or features of the set "none".';
    throw new InvalidRequest("loss", o.loss, `${rule} Give a term a factor above 0.`);
  }
  checkStepDistillation(o);
  if (o.lrScheduler !== "constant" && o.lrWarmupSteps >= o.maxTrainSteps) {
    const rule = `must be fewer than maxTrainSteps (${o.maxTrainSteps}), got ${o.lrWarmupSteps}.`;
    throw new InvalidRequest("lrWarmupSteps", o.lrWarmupSteps, rule);
  }
  if (o.lrScheduler === "constant" && o.lrWarmupSteps > 0) {
    const rule = `must be 0 with lrScheduler "constant", got ${o.lrWarmupSteps}. Use "constant_with_warmup".`;
    throw new InvalidRequest("lrWarmupSteps", o.lrWarmupSteps, rule);
  }
  if (o.rescaleBetasZeroSnr && o.predictionType === "epsilon") {
    const rule = 'must be false with predictionType "epsilon", got true: the last timestep is pure noise.';
    throw new InvalidRequest("rescaleBetasZeroSnr", true, `${rule} Use "v_prediction".`);
  }
  if (o.trainBatchSize % o.dataParallel !== 0) {
    const rule = `must divide trainBatchSize (${o.trainBatchSize}), got ${o.dataParallel}.`;
    throw new InvalidRequest("dataParallel", o.dataParallel, rule);
  }
  if (o.device !== "cpu" && o.dataParallel > 1) {
    const rule = `must be 1 with device "${o.device}", got ${o.dataParallel}: shares are for the cores of a CPU.`;
    throw new InvalidRequest("dataParallel", o.dataParallel, `${rule} Leave it out.`);
  }
  if (o.gradientCheckpointing && o.dataParallel > 1) {
    const rule = `must be 1 with gradientCheckpointing, got ${o.dataParallel}: its programs take turns.`;
    throw new InvalidRequest("dataParallel", o.dataParallel, rule);
  }
  if (o.validationSteps > 0 && o.validationPrompts.length === 0) {
    const rule = `must hold a prompt when validationSteps is above 0, got none.`;
    throw new InvalidRequest("validationPrompts", [], rule);
  }
}

/** What a step distillation excludes, and what is excluded without one. */
function checkStepDistillation({ consistency, trajectory, loss, ...o }: TrainingOptions): void {
  const method = consistency ? "consistency" : "trajectory";
  if (consistency && trajectory) {
    const rule = "must be left out with consistency, got both. Distil by one of them.";
    throw new InvalidRequest("trajectory", trajectory, rule);
  }
  if (consistency) checkConsistency(consistency);
  if ((consistency ?? trajectory) === null) {
    checkTimesteps(o.timestepBias, o.samplingSteps, "samplingSteps");
    if (!loss.solver) return;
    const rule = `must be 0 without consistency or trajectory, got ${loss.solver}. Leave it out.`;
    throw new InvalidRequest("loss.solver", loss.solver, rule);
  }
  if (loss.solver === 0) {
    const rule = `must be above 0 with ${method}, got 0. Leave ${method} out, or the factor.`;
    throw new InvalidRequest("loss.solver", 0, rule);
  }
  if (o.samplingSteps !== null) {
    const rule = `has no effect with ${method}, which has timesteps of its own, got ${o.samplingSteps}.`;
    throw new InvalidRequest("samplingSteps", o.samplingSteps, `${rule} Leave it out.`);
  }
  checkTimesteps(o.timestepBias, 1, method);
  if (o.snrGamma !== null && loss.task === 0) {
    const rule = `has no effect where the task loss has factor 0, as with ${method}, got ${o.snrGamma}.`;
    throw new InvalidRequest("snrGamma", o.snrGamma, `${rule} Leave it out, or give loss.task.`);
  }
}

/** A bias means nothing where only some timesteps are drawn. */
function checkTimesteps(bias: number, chosen: number | null, by: string): void {
  if (chosen === null || bias === 1) return;
  const rule = `must be 1 with ${by}, which draws its timesteps evenly, got ${bias}. Leave it out.`;
  throw new InvalidRequest("timestepBias", bias, rule);
}

function refusal(error: z.core.$ZodError, request: unknown): InvalidRequest {
  const unknown = "is not a setting of training";
  const { field, value, rule } = schemaProblem(error, request, { schema, unknown });
  return new InvalidRequest(field || "options", value, rule);
}

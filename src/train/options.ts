/**
 * @file The settings of a training run: names (Diffusers' flags in camelCase), defaults, checks. Reads no
 * files.
 */

import { z } from "zod";
import { closest } from "../closest.js";
import { InvalidRequest, listed } from "../errors.js";
import { type FeatureSet, featureSets } from "./features.js";
import { layerRules } from "./layer-mapping.js";
import type { LossWeights } from "./loss.js";
import { lrSchedules } from "./lr-schedule.js";
import { snrRules, targetTypes } from "./noise.js";

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

const ema = z.strictObject({
  decay: part.default(0.9999),
  minDecay: part.default(0),
  updateAfterStep: countOrNone.default(0),
  useEmaWarmup: flag.default(false),
  invGamma: above.default(1),
  power: above.default(2 / 3),
});

/**
 * Steps count updates of the weights. Defaults: the paper's (section 4.1) where it has them, else Diffusers'.
 */
const schema = z.strictObject({
  /** Which of the teacher's layers the student begins as. */
  initialLayers: oneOf(layerRules).default("bottom"),
  feature: oneOf(featureSets).default("koala"),
  loss: z
    .strictObject({ task: number.default(1), out: number.default(1), feat: number.default(1) })
    .default({ task: 1, out: 1, feat: 1 }),

  /** What the network predicts; null takes it from the teacher's scheduler. */
  predictionType: oneOf(targetTypes).nullable().default(null),
  rescaleBetasZeroSnr: flag.default(false),
  /** Min-SNR weights of the task loss; null is without. 5 is the usual value. */
  snrGamma: above.nullable().default(null),
  snrRule: oneOf(snrRules).default("current"),
  noiseOffset: number.default(0),
  /** How many times as often the noisier half of the timesteps is drawn as the other. */
  timestepBias: above.default(1),

  resolution: pixels.default(512),
  /** Buckets of several aspect ratios in place of squares. */
  aspectRatioBuckets: flag.default(false),
  randomCrop: flag.default(false),
  randomFlip: flag.default(false),
  /** Share of captions left out while training. */
  captionDropout: part.default(0),
  /** What takes their place. SDXL's guidance uses zeros where there is no negative prompt. */
  captionDropoutRule: oneOf(["zeros", "empty-string"]).default("zeros"),

  /** Of an autoencoder alone: how strongly its latent channels are drawn to mean 0 and variance 1. */
  latentMomentWeight: number.default(0),
  /** Of an autoencoder alone: standard deviation of the normal numbers that its decoder finds added to latents. */
  latentNoise: number.default(0),
  /** Of an autoencoder alone: train its decoder, so that models of its latents stay as they are. */
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
  /** The largest norm of the gradient; null does not clip. */
  maxGradNorm: above.nullable().default(1),
  /** A moving average of the weights; null is without, {} takes the defaults. */
  ema: ema.nullable().default(null),

  seed: z.int("must be a whole number").min(0, "must be a whole number of at least 0").default(0),
  /** A checkpoint every so many steps. */
  checkpointingSteps: count.default(500),
  /** How many checkpoints are kept; null keeps all. */
  checkpointsTotalLimit: count.nullable().default(2),
  /** Images are generated every so many steps; 0 generates none. */
  validationSteps: countOrNone.default(0),
  validationPrompts: z.array(z.string("must be a text"), "must be a list of texts").default([]),
  gradientCheckpointing: flag.default(false),
  /** Into how many shares a batch is cut, each computed by a thread of its own on one core. */
  dataParallel: count.default(1),
  /** Threads of one operation; 0 takes one per core. */
  threads: countOrNone.default(0),
});

/** Every setting of a run, as it is kept in its checkpoints. */
export type TrainingOptions = z.output<typeof schema>;
/** What a caller may leave out. */
export type TrainingRequest = z.input<typeof schema>;

/** Fills in defaults and checks; throws InvalidRequest naming the field. */
export function trainingOptions(request: unknown = {}): TrainingOptions {
  const parsed = schema.safeParse(request);
  if (!parsed.success) throw refusal(parsed.error.issues[0]!, request);
  checkTogether(parsed.data);
  return parsed.data;
}

function checkTogether(o: TrainingOptions): void {
  const { task, out, feat } = o.loss;
  if (task === 0 && out === 0 && (feat === 0 || o.feature === "none")) {
    const rule = 'must leave something to learn from, got 0 for every term, or features of the set "none".';
    throw new InvalidRequest("loss", o.loss, `${rule} Give a term a factor above 0.`);
  }
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
  if (o.gradientCheckpointing && o.dataParallel > 1) {
    const rule = `must be 1 with gradientCheckpointing, got ${o.dataParallel}: its programs take turns.`;
    throw new InvalidRequest("dataParallel", o.dataParallel, rule);
  }
  if (o.validationSteps > 0 && o.validationPrompts.length === 0) {
    const rule = `must hold a prompt when validationSteps is above 0, got none.`;
    throw new InvalidRequest("validationPrompts", [], rule);
  }
}

function refusal(issue: z.core.$ZodIssue, request: unknown): InvalidRequest {
  const at = (path: readonly PropertyKey[]) =>
    path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], request);
  const field = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const [key] = issue.keys as [string];
    const place = [...issue.path, key];
    const near = closest(key, Object.keys(field === "" ? schema.shape : field === "ema" ? ema.shape : terms));
    const hint = near ? ` Did you mean "${near}"?` : "";
    return new InvalidRequest(place.join("."), at(place), `is not a setting of training.${hint}`);
  }
  const value = at(issue.path);
  const rule = issue.message.startsWith("must") ? issue.message : `must be an object (${issue.message})`;
  return new InvalidRequest(field || "options", value, `${rule}, got ${JSON.stringify(value) ?? "nothing"}.`);
}

const terms: LossWeights = { task: 1, out: 1, feat: 1 };

/**
 * Parses `--loss task=1,out=0.5`: a term that is not named keeps 1, and 0 leaves it out. Throws
 * InvalidRequest.
 */
export function parseLoss(text: string): LossWeights {
  const refuse = (rule: string): never => {
    throw new InvalidRequest("--loss", text, rule);
  };
  const given = new Map<string, number>();
  for (const one of text.split(",")) {
    const [, name, value] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/.exec(one) ?? [];
    if (name === undefined || value === undefined) {
      return refuse(`must be written as "task=1,out=1,feat=1", got "${text}".`);
    }
    if (!Object.hasOwn(terms, name)) {
      const near = closest(name, Object.keys(terms));
      refuse(`must name task, out or feat, got "${name}".${near ? ` Did you mean "${near}"?` : ""}`);
    }
    if (given.has(name)) refuse(`must name each term once, got "${name}" twice.`);
    const factor = value === "" ? Number.NaN : Number(value);
    if (!(factor >= 0 && factor < Infinity))
      refuse(`${name} must be a number of at least 0, got "${value}".`);
    given.set(name, factor);
  }
  return { ...terms, ...Object.fromEntries(given) };
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

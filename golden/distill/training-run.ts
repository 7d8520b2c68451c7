/** @file train-W.*: five updates and their variants, by the trainer's gradient programs and its optimizer. */

import { z } from "zod";
import { emaDecay } from "../../src/train/ema.js";
import { type LrScheduleOptions, learningRate, lrSchedules } from "../../src/train/lr-schedule.js";
import { AdamW, type OptimizerState } from "../../src/train/optimizer.js";
import { camelCased } from "./folder.js";
import { updateAverage } from "./moving-average.js";
import { type DistillationNetworks, programInputs, type Student } from "./networks.js";
import { featureSetNamed } from "./student-checks.js";

/** `floor` is PyTorch's own distance between float32 and float64. */
const number = z.looseObject({ value: z.number(), floor: z.number().optional() });
const variantSchema = z.looseObject({
  batches: z.array(z.union([z.int().transform((n) => [n]), z.array(z.int())])),
  log: z.array(
    z.looseObject({
      task: number,
      out: number,
      feat: number,
      total: number,
      lr: z.number(),
      grad_norm: number,
      norm_before: number.optional(),
      norm_after: number.optional(),
      microbatch_totals: z.array(z.number()).optional(),
    }),
  ),
  max_norm: z.number().optional(),
  warmup: z.int().optional(),
  total: z.int().optional(),
});
type Variant = z.infer<typeof variantSchema>;

/** AdamW's settings. */
export const optimizerSchema = z.looseObject({
  lr: z.number(),
  beta1: z.number(),
  beta2: z.number(),
  eps: z.number(),
  weight_decay: z.number(),
});

export const trainSchema = z
  .looseObject({
    optimizer: optimizerSchema,
    features: z.string(),
    ema: z.looseObject({
      settings: z.record(z.string(), z.looseObject({})),
      decay_used_at_step: z.record(z.string(), z.array(z.number())),
    }),
    weights: z.record(z.string(), z.object({ l2: z.number(), sum: z.number() })),
  })
  .transform((all) => {
    const isVariant = (value: unknown) => typeof value === "object" && value !== null && "batches" in value;
    const found = Object.entries(all).filter(([, value]) => isVariant(value));
    const variants = new Map(found.map(([name, value]) => [name, variantSchema.parse(value)]));
    return { ...all, variants };
  });
export type TrainJson = z.infer<typeof trainSchema>;

/** One update as the trainer logs it, with the gradient that the optimizer used. */
type Logged = {
  readonly terms: Readonly<Record<string, number>>;
  readonly totals: readonly number[];
  readonly rate: number;
  readonly norm: number;
  /** After clipping and division, as the first moment uses it. */
  readonly used: Float32Array;
  /** The weights after it. */
  readonly weights: Float32Array;
};

export type Trained = {
  readonly log: readonly Logged[];
  readonly initial: Float32Array;
  readonly state: OptimizerState;
  /** Moving averages by setting. */
  readonly averages: ReadonlyMap<string, Float32Array>;
};

/** The variant's updates. Its name gives the feature set, and the schedule where it has a warm-up. */
export async function trained(
  name: string,
  golden: TrainJson,
  student: Student,
  all: DistillationNetworks,
): Promise<Trained> {
  const variant = golden.variants.get(name)!;
  const { lr, beta1, beta2, eps, weight_decay } = golden.optimizer;
  const optimizer = new AdamW({ beta1, beta2, epsilon: eps, weightDecay: weight_decay });
  const array = () => new Float32Array(student.layout.total);
  const initial = student.weights();
  const state: OptimizerState = {
    weights: initial.slice(),
    mean: array(),
    square: array(),
    average: undefined,
  };
  const averages = new Map(Object.keys(golden.ema.settings).map((setting) => [setting, initial.slice()]));
  const rates = ratesOf(name, variant, lr);
  const log: Logged[] = [];
  for (const [i, batches] of variant.batches.entries()) {
    const { sum, totals, terms } = await accumulated(batches, setOf(name, golden), state.weights, {
      student,
      all,
      optimizer,
    });
    const before = state.mean.slice();
    const rate = learningRate(i, rates);
    const { norm } = optimizer.update(state, sum, {
      step: i + 1,
      learningRate: rate,
      accumulated: batches.length,
      maxNorm: variant.max_norm,
      emaDecay: undefined,
    });
    for (const [setting, average] of averages) {
      const options = camelCased(golden.ema.settings[setting]!);
      await updateAverage(optimizer, average, state.weights, emaDecay(i + 1, options));
    }
    const used = state.mean.map((m, j) => (m - beta1 * before[j]!) / (1 - beta1));
    log.push({ terms, totals, rate, norm, used, weights: state.weights.slice() });
  }
  return { log, initial, state, averages };
}

type Parts = { student: Student; all: DistillationNetworks; optimizer: AdamW };

/** Gradients of the micro-batches added up, and the means of their losses. */
async function accumulated(
  batches: readonly number[],
  set: string,
  weights: Float32Array,
  { student, all, optimizer }: Parts,
) {
  const { epsilon: schedule } = await all.schedules();
  const sum = new Float32Array(weights.length);
  const terms: Record<string, number> = {};
  const totals: number[] = [];
  for (const [i, name] of batches.entries()) {
    const batch = await all.batch(String(name));
    const { program, inputNames: expected } = await student.step(featureSetNamed(set), batch.size);
    const into = i === 0 ? sum : new Float32Array(weights.length);
    const given = programInputs(expected, batch, await all.teacherResults(String(name)), { schedule });
    const results = await program.run(weights, given, into);
    if (i > 0) optimizer.accumulate(sum, into);
    for (const term of ["task", "out", "feat", "total"])
      terms[term] = (terms[term] ?? 0) + results[term]![0]! / batches.length;
    totals.push(results.total![0]!);
  }
  return { sum, totals, terms };
}

const setOf = (name: string, { features }: TrainJson) => /^features_(.+)_only$/.exec(name)?.[1] ?? features;

function ratesOf(name: string, { warmup, total }: Variant, learningRate: number): LrScheduleOptions {
  if (warmup === undefined) return { learningRate };
  const schedule = lrSchedules.find((schedule) => name.startsWith(`${schedule}_warmup`));
  if (!schedule) throw new Error(`this build has no learning rate schedule for "${name}"`);
  return { schedule, learningRate, warmupSteps: warmup, ...(total !== undefined && { totalSteps: total }) };
}

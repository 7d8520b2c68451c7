/**
 * @file The losses of distillation as a traced graph: KOALA's (section 3.1.2) task, output and features, and a step
 * distillation's. Every term is a mean over all elements, batch included, of squared errors unless it says another;
 * features add up over their pairs.
 */

import * as t from "../tensor/operations.js";
import { add, div, mean, mul, reshape, sqrt, sub } from "../tensor/operations.js";
import { sameShape, show, type Tensor } from "../tensor/tensor.js";

/** Factors of the terms of the loss, each 0 or above. A term with factor 0 is not computed. */
export type LossWeights = {
  /** Of the error against the noise, or v. */
  readonly task: number;
  /** Of the error against the teacher's prediction. */
  readonly out: number;
  /** Of the errors against the teacher's features, summed. */
  readonly feat: number;
  /** Of a step distillation's error against where the teacher's solver leads. Default: 1 in one, else 0. */
  readonly solver?: number | undefined;
};

/**
 * How a feature's error counts: as it is (the paper's), or divided by the mean square of the teacher's feature over the
 * whole batch, so that no layer outweighs the others by its magnitude alone (after LAPTOP-Diff, arXiv 2404.11098).
 */
export const featureLosses = ["plain", "ratio_of_squares"] as const;
export type FeatureLoss = (typeof featureLosses)[number];

/** One comparison of the student with the teacher. */
type Compared = {
  readonly student: Tensor;
  readonly teacher: Tensor;
  /** The mean square of the teacher's over the whole batch, which divides the error: [B], all equal. */
  readonly meanSquare?: Tensor | undefined;
};

/** What a step distillation compares: `sample` and the output, each times its factor, with `target`. */
export type StepComparison = {
  /** The noisy sample, and what it is to give: [B, C, H, W] */
  sample: Tensor;
  target: Tensor;
  /** For each sample: [B, 1, 1, 1] */
  sampleFactor: Tensor;
  outputFactor: Tensor;
  /** Of the pseudo-Huber error; undefined for squares. */
  huberC: number | undefined;
};

export type LossInputs = {
  /** The student's prediction: [B, C, H, W] */
  output: Tensor;
  /** What it should be, the noise or v: [B, C, H, W] */
  target?: Tensor | undefined;
  /** Weights of each sample's task loss (min-SNR): [B]. They leave the other terms as they are. */
  taskWeights?: Tensor | undefined;
  /** The teacher's prediction: [B, C, H, W] */
  teacherOutput?: Tensor | undefined;
  features?: readonly Compared[];
  solver?: StepComparison | undefined;
  weights: LossWeights;
};

/** Each [1]; `pairs` holds the features' terms in order, each [1], of which `feat` is the sum. */
export type Losses = {
  total: Tensor;
  task?: Tensor;
  out?: Tensor;
  feat?: Tensor;
  solver?: Tensor;
  pairs: readonly Tensor[];
};

/** total = task w + out w + feat w + solver w, over the terms that are there. */
export function distillationLoss(inputs: LossInputs): Losses {
  const { output, target, taskWeights, teacherOutput, features = [], solver: compared, weights } = inputs;
  const task = weights.task === 0 ? undefined : taskLoss(output, required("target", target), taskWeights);
  const out = weights.out === 0 ? undefined : squaredError(output, required("teacherOutput", teacherOutput));
  const pairs = weights.feat === 0 ? [] : features.map(featureError);
  const feat = pairs.length === 0 ? undefined : pairs.reduce((a, b) => add(a, b));
  const solver = compared && stepError(output, compared);
  const terms = Object.entries({ task, out, feat, solver }).filter(
    (term): term is [keyof LossWeights, Tensor] => !!term[1],
  );
  if (terms.length === 0) throw new Error("internal: a loss needs a term");
  const weighted = terms.map(([name, x]) => (weights[name] === 1 ? x : mul(x, weights[name] ?? 1)));
  const total = weighted.reduce((a, b) => add(a, b));
  return { total, ...Object.fromEntries(terms), pairs };
}

/** The terms as a program's results: total, task, out, feat, solver as [1], and `pairs` [number of pairs]. */
export function lossOutputs({ total, task, out, feat, solver, pairs }: Losses): Record<string, Tensor> {
  return {
    total,
    ...(task && { task }),
    ...(out && { out }),
    ...(feat && { feat, pairs: t.concat(pairs, 0) }),
    ...(solver && { solver }),
  };
}

/** a, b: [...] -> [1] */
export function squaredError(a: Tensor, b: Tensor): Tensor {
  const d = difference(a, b);
  return reshape(mean(mul(d, d)), [1]);
}

function featureError({ student, teacher, meanSquare }: Compared): Tensor {
  const error = squaredError(student, teacher);
  return meanSquare ? div(error, mean(meanSquare, [0])) : error;
}

function stepError(output: Tensor, compared: StepComparison): Tensor {
  const { sample, sampleFactor, outputFactor, target, huberC } = compared;
  const predicted = add(mul(sample, sampleFactor), mul(output, outputFactor));
  return huberC === undefined ? squaredError(predicted, target) : pseudoHuber(predicted, target, huberC);
}

/** mean(sqrt(d^2 + c^2) - c): as d^2 near 0, as |d| far from it. a, b: [...] -> [1] */
function pseudoHuber(a: Tensor, b: Tensor, c: number): Tensor {
  const d = difference(a, b);
  return reshape(mean(sub(sqrt(add(mul(d, d), c * c)), c)), [1]);
}

/** The mean of each sample's mean squared error times its weight. -> [1] */
function taskLoss(output: Tensor, target: Tensor, weights?: Tensor): Tensor {
  if (!weights) return squaredError(output, target);
  const d = difference(output, target);
  const perSample = mean(mul(d, d), [1, 2, 3]); // [B, 1, 1, 1]
  return mean(mul(reshape(perSample, [t.keep]), weights), [0]);
}

/** Not broadcast: a comparison of different shapes is a mistake. */
function difference(a: Tensor, b: Tensor): Tensor {
  if (!sameShape(a.shape, b.shape))
    throw new Error(`internal: ${show(a.shape)} compared with ${show(b.shape)}`);
  return sub(a, b);
}

function required(name: keyof LossInputs, x: Tensor | undefined): Tensor {
  if (!x) throw new Error(`internal: a term of the loss needs ${name}`);
  return x;
}

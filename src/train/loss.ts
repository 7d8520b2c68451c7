/**
 * @file The losses of distillation as a traced graph (KOALA, section 3.1.2): task, output and features. Every
 * term is a mean squared error over all elements, batch included; features add up over their pairs.
 */

import * as t from "../tensor/operations.js";
import { add, mean, mul, reshape, sub } from "../tensor/operations.js";
import { sameShape, show, type Tensor } from "../tensor/tensor.js";

/** Factors of the terms of the loss, each 0 or above. A term with factor 0 is not computed. */
export type LossWeights = {
  /** Of the error against the noise, or v. */
  readonly task: number;
  /** Of the error against the teacher's prediction. */
  readonly out: number;
  /** Of the errors against the teacher's features, summed. */
  readonly feat: number;
};

/** One comparison of the student with the teacher. */
type Compared = { readonly student: Tensor; readonly teacher: Tensor };

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
  weights: LossWeights;
};

/** Each [1]; `pairs` holds the features' terms in order, each [1], of which `feat` is the sum. */
export type Losses = {
  total: Tensor;
  task?: Tensor;
  out?: Tensor;
  feat?: Tensor;
  pairs: readonly Tensor[];
};

/** total = task w + out w + feat w, over the terms that are there. */
export function distillationLoss(inputs: LossInputs): Losses {
  const { output, target, taskWeights, teacherOutput, features = [], weights } = inputs;
  const task = weights.task === 0 ? undefined : taskLoss(output, required("target", target), taskWeights);
  const out = weights.out === 0 ? undefined : squaredError(output, required("teacherOutput", teacherOutput));
  const pairs = weights.feat === 0 ? [] : features.map((f) => squaredError(f.student, f.teacher));
  const feat = pairs.length === 0 ? undefined : pairs.reduce((a, b) => add(a, b));
  const terms = Object.entries({ task, out, feat }).filter(
    (term): term is [keyof LossWeights, Tensor] => !!term[1],
  );
  if (terms.length === 0) throw new Error("internal: a loss needs a term");
  const weighted = terms.map(([name, x]) => (weights[name] === 1 ? x : mul(x, weights[name])));
  const total = weighted.reduce((a, b) => add(a, b));
  return { total, ...Object.fromEntries(terms), pairs };
}

/** The terms as a program's results: total, task, out, feat as [1], and `pairs` [number of pairs]. */
export function lossOutputs({ total, task, out, feat, pairs }: Losses): Record<string, Tensor> {
  return {
    total,
    ...(task && { task }),
    ...(out && { out }),
    ...(feat && { feat, pairs: t.concat(pairs, 0) }),
  };
}

/** a, b: [...] -> [1] */
export function squaredError(a: Tensor, b: Tensor): Tensor {
  const d = difference(a, b);
  return reshape(mean(mul(d, d)), [1]);
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

/**
 * @file The judge: a small residual network that names the noun, the style and the background of a picture. B batch.
 */

import { conv2d, groupNorm, linear } from "../../src/nn.js";
import { Params, tracing } from "../../src/tensor/params.js";
import {
  add,
  input,
  log,
  mean,
  mul,
  reshape,
  silu,
  softmax,
  sum,
  type Tensor,
} from "../../src/tensor/tensor.js";
import type { TracedLoss } from "../../src/train/programs.js";

/** Height and width of the pictures it is shown. */
export const judgedSize = 64;
const stages = [32, 64, 128, 192];

/** How many there are to choose from. */
export type Classes = { noun: number; style: number; background: number };
export const questions = ["noun", "style", "background"] as const;
export type Question = (typeof questions)[number];
export const rightAnswer = (question: Question): string => `right_${question}`;

/** picture: [B, 3, 64, 64] in -1..1 -> the probability of every answer to each question: [B, n] */
export function judge(p: Params, classes: Classes, picture: Tensor): Record<Question, Tensor> {
  let h = picture;
  for (const [i, width] of stages.entries()) {
    h = conv2d(p.at("down", i), h, width, { stride: 2 });
    for (const j of [0, 1]) h = block(p.at("blocks", i, j), h);
  }
  const pooled = reshape(mean(norm(p.at("norm"), h), [2, 3]), [h.shape[0]!, h.shape[1]!]);
  const answer = (question: Question) => softmax(linear(p.at(question), pooled, classes[question]));
  return { noun: answer("noun"), style: answer("style"), background: answer("background") };
}

const norm = (p: Params, x: Tensor) => silu(groupNorm(p, x, { groups: 8, eps: 1e-5 }));

function block(p: Params, x: Tensor): Tensor {
  const C = x.shape[1]!;
  const h = conv2d(p.at("conv1"), norm(p.at("norm1"), x), C);
  return add(x, conv2d(p.at("conv2"), norm(p.at("norm2"), h), C));
}

/** The cross-entropies, added up. Inputs: `picture`, and by `rightAnswer` for each question [B, n] of 0 and 1. */
export function judgeLoss(classes: Classes, batch: number): TracedLoss {
  const params = new Map<string, Tensor>();
  const answers = judge(
    new Params(tracing(params)),
    classes,
    input("picture", [batch, 3, judgedSize, judgedSize]),
  );
  const losses = questions.map((question) => {
    const right = input(rightAnswer(question), [batch, classes[question]]);
    // Probabilities below 1e-7 are as good as 0, whose logarithm is none.
    const surprise = mul(right, log(add(answers[question], 1e-7)));
    return [question, reshape(mul(sum(surprise), -1 / batch), [1])] as const;
  });
  const total = losses.map(([, loss]) => loss).reduce((a, b) => add(a, b));
  return { params, outputs: { total, ...Object.fromEntries(losses) } };
}

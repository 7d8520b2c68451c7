/**
 * @file The judge: a small residual network that names the noun, the style and the background of an image. B batch.
 */

import { conv2d, groupNorm, linear } from "../../src/nn.js";
import { add, concat, input, mean, reshape, silu, softmax } from "../../src/tensor/operations.js";
import { Params, tracing } from "../../src/tensor/params.js";
import { count, type Tensor } from "../../src/tensor/tensor.js";
import type { TracedLoss } from "../../src/train/gradient-program.js";
import { type Classes, type Question, questions, rightInputs, surprise } from "../labels.js";

/** Height and width of the images it is shown. */
export const evaluatedSize = 64;
const stages = [32, 64, 128, 192];

/** image: [B, 3, 64, 64] in -1..1 -> the probability of every answer to each question: [B, n] */
export function evaluator(p: Params, classes: Classes, image: Tensor): Record<Question, Tensor> {
  const B = image.shape[0]!;
  let h = image;
  const textures: Tensor[] = [];
  for (const [i, width] of stages.entries()) {
    h = conv2d(p.at("down", i), h, width, { stride: 2 });
    h = block(p.at("blocks", i), h);
    textures.push(reshape(mean(norm(p.at("norms", i), h), [2, 3]), [B, width]));
  }
  // Not their mean: the images to judge lie as the renderings do, and where a feature is says much.
  const places = reshape(norm(p.at("norm"), h), [B, count(h.shape.slice(1))]);
  const answer = (question: Question, features: Tensor) =>
    softmax(linear(p.at(question), features, classes[question]));
  return {
    noun: answer("noun", places),
    style: answer("style", concat([...textures, places], 1)),
    background: answer("background", places),
  };
}

const norm = (p: Params, x: Tensor) => silu(groupNorm(p, x, { groups: 8, eps: 1e-5 }));

function block(p: Params, x: Tensor): Tensor {
  const C = x.shape[1]!;
  const h = conv2d(p.at("conv1"), norm(p.at("norm1"), x), C);
  return add(x, conv2d(p.at("conv2"), norm(p.at("norm2"), h), C));
}

/** The cross-entropies, added up. Inputs: `image`, and the right answers. */
export function evaluatorLoss(classes: Classes, batch: number): TracedLoss {
  const params = new Map<string, Tensor>();
  const answers = evaluator(
    new Params(tracing(params)),
    classes,
    input("image", [batch, 3, evaluatedSize, evaluatedSize]),
  );
  const right = rightInputs(classes, batch);
  const losses = questions.map((q) => [q, surprise(right[q], answers[q])] as const);
  const total = losses.map(([, loss]) => loss).reduce((a, b) => add(a, b));
  return { params, outputs: { total, ...Object.fromEntries(losses) } };
}

/**
 * @file The evaluator: a small residual network that classifies the noun, the style and the background of an image.
 * B batch.
 */

import { conv2d, groupNorm, linear } from "../../src/nn.js";
import { add, concat, input, mean, reshape, silu, softmax } from "../../src/tensor/operations.js";
import { Params, tracing } from "../../src/tensor/params.js";
import { count, type Tensor } from "../../src/tensor/tensor.js";
import type { TracedLoss } from "../../src/train/gradient-program.js";
import { type Classes, crossEntropy, type Label, labels, targetInputs } from "../labels.js";

/** Height and width of its images, in pixels. */
export const evaluatedSize = 64;
const stages = [32, 64, 128, 192];

/** image: [B, 3, 64, 64] in -1..1 -> the probability of every class of each label: [B, classes] */
export function evaluator(p: Params, classes: Classes, image: Tensor): Record<Label, Tensor> {
  const B = image.shape[0]!;
  let h = image;
  const textures: Tensor[] = [];
  for (const [i, width] of stages.entries()) {
    h = conv2d(p.at("down", i), h, width, { stride: 2 });
    h = block(p.at("blocks", i), h);
    textures.push(reshape(mean(norm(p.at("norms", i), h), [2, 3]), [B, width]));
  }
  // Not their mean: the images to evaluate are laid out as the renderings are, so a feature's position says much.
  const positions = reshape(norm(p.at("norm"), h), [B, count(h.shape.slice(1))]);
  const classify = (label: Label, features: Tensor) => softmax(linear(p.at(label), features, classes[label]));
  return {
    noun: classify("noun", positions),
    style: classify("style", concat([...textures, positions], 1)),
    background: classify("background", positions),
  };
}

const norm = (p: Params, x: Tensor) => silu(groupNorm(p, x, { groups: 8, eps: 1e-5 }));

function block(p: Params, x: Tensor): Tensor {
  const C = x.shape[1]!;
  const h = conv2d(p.at("conv1"), norm(p.at("norm1"), x), C);
  return add(x, conv2d(p.at("conv2"), norm(p.at("norm2"), h), C));
}

/** The sum of the cross-entropies. Inputs: `image`, and the targets. */
export function evaluatorLoss(classes: Classes, batch: number): TracedLoss {
  const params = new Map<string, Tensor>();
  const probabilities = evaluator(
    new Params(tracing(params)),
    classes,
    input("image", [batch, 3, evaluatedSize, evaluatedSize]),
  );
  const targets = targetInputs(classes, batch);
  const losses = labels.map((label) => [label, crossEntropy(targets[label], probabilities[label])] as const);
  const total = losses.map(([, loss]) => loss).reduce((a, b) => add(a, b));
  return { params, outputs: { total, ...Object.fromEntries(losses) } };
}

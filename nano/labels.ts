/** @file The labels of an image or a caption (its noun, style and background), and the cross-entropy of predictions. */

import type { Values } from "../src/engine/engine.js";
import { add, input, log, mul, reshape, sum } from "../src/tensor/operations.js";
import type { Tensor } from "../src/tensor/tensor.js";
import { backgroundNames } from "./data/captions.js";
import type { Data } from "./data/dataset.js";
import { styles } from "./data/emoji.js";

export const labels = ["noun", "style", "background"] as const;
export type Label = (typeof labels)[number];
/** The number of classes of each label. */
export type Classes = Record<Label, number>;
/** The index of the class of each label. */
export type Labelled = Record<Label, number>;

export const classesOf = ({ nouns }: Pick<Data, "nouns">): Classes => ({
  noun: nouns.length,
  style: styles.length,
  background: backgroundNames.length,
});

const targetName = (label: Label): string => `target_${label}`;

/** One-hot targets as inputs: [B, classes] each. */
export const targetInputs = (classes: Classes, batch: number): Record<Label, Tensor> => ({
  noun: input(targetName("noun"), [batch, classes.noun]),
  style: input(targetName("style"), [batch, classes.style]),
  background: input(targetName("background"), [batch, classes.background]),
});

/** target, probabilities: [B, classes] -> [1] */
export function crossEntropy(target: Tensor, probabilities: Tensor): Tensor {
  // Probabilities below 1e-7 are as good as 0, whose logarithm is none.
  return reshape(mul(sum(mul(target, log(add(probabilities, 1e-7)))), -1 / probabilities.shape[0]!), [1]);
}

/** The values of `targetInputs`. */
export function targetValues(examples: readonly Labelled[], classes: Classes): Record<string, Values> {
  return Object.fromEntries(
    labels.map((label) => {
      const data = new Float32Array(examples.length * classes[label]);
      for (const [i, example] of examples.entries()) data[i * classes[label] + example[label]] = 1;
      return [targetName(label), { data, shape: [examples.length, classes[label]] }];
    }),
  );
}

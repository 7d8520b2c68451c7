/** @file The evaluator: what it tells apart, as its `config.json` says it, and the loss that it is trained with. */

import { classifierConfig, classifierShapes, imageClassifier } from "../../src/models/image-classifier.js";
import { add, input } from "../../src/tensor/operations.js";
import { Params, tracing } from "../../src/tensor/params.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import type { TracedLoss } from "../../src/train/gradient-program.js";
import { backgroundNames, styleNames } from "../data/captions.js";
import type { Data } from "../data/dataset.js";
import { styles } from "../data/emoji.js";
import { crossEntropy, labels, targetInputs } from "../labels.js";
import { lookOf } from "./looks.js";

/** Height and width of its images, in pixels. */
export const evaluatedSize = 64;

/** The classes are in the order of the targets' indices. A caption that names no background means white. */
export const evaluatorConfig = (nouns: Data["nouns"]) => ({
  _class_name: "ImageClassifier",
  sample_size: evaluatedSize,
  block_out_channels: [32, 64, 128, 192],
  norm_num_groups: 8,
  labels: {
    noun: { classes: nouns.map(({ name, aliases }) => ({ name, phrases: [name, ...aliases] })) },
    style: {
      texture: true,
      classes: styles.map((style, i) => {
        const look = lookOf(i);
        return {
          name: styleNames[style][0]!,
          phrases: [...styleNames[style]],
          ...(look !== i && { same_as: styleNames[styles[look]!][0]! }),
        };
      }),
    },
    background: {
      default: "white",
      classes: backgroundNames.map((name) => ({ name, phrases: [`${name} background`] })),
    },
  },
});

/** The sum of the cross-entropies. Inputs: `image`, and the targets. */
export function evaluatorLoss(nouns: Data["nouns"], batch: number): TracedLoss {
  const shapes = classifierShapes(classifierConfig(evaluatorConfig(nouns), "evaluator/config.json"));
  const classes = {
    noun: shapes.labels.noun!.classes,
    style: shapes.labels.style!.classes,
    background: shapes.labels.background!.classes,
  };
  const params = new Map<string, Tensor>();
  const probabilities = imageClassifier(
    new Params(tracing(params)),
    shapes,
    input("image", [batch, 3, evaluatedSize, evaluatedSize]),
  );
  const targets = targetInputs(classes, batch);
  const losses = labels.map((label) => [label, crossEntropy(targets[label], probabilities[label]!)] as const);
  const total = losses.map(([, loss]) => loss).reduce((a, b) => add(a, b));
  return { params, outputs: { total, ...Object.fromEntries(losses) } };
}

/**
 * @file A small residual network that classifies images by several labels at once, such as the noun, the style and the
 * background: what evaluates the bundled model. B batch.
 */

import * as z from "zod/mini";
import { ModelError } from "../errors.js";
import { conv2d, groupNorm, linear } from "../nn.js";
import { add, concat, keep, mean, reshape, silu, softmax } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import { count, type Tensor } from "../tensor/tensor.js";
import { ignored, parseConfig, size, sizes } from "./config.js";

const classSchema = z.strictObject({
  name: z.string(),
  /** What a prompt says for it; its name if left out. */
  phrases: z.optional(z.array(z.string())),
  /** Another class of the label that it counts as, because images do not show which of the two it is. */
  same_as: z.optional(z.string()),
});

const labelSchema = z.strictObject({
  classes: z.array(classSchema).check(z.minLength(2, "must be at least two")),
  /** The class that a prompt means which names none. */
  default: z.optional(z.string()),
  /** Whether the means of all stages count too, where positions do not matter. */
  texture: z._default(z.boolean(), false),
});

const schema = z.object({
  sample_size: size,
  block_out_channels: sizes,
  norm_num_groups: z._default(size, 8),
  labels: z.record(z.string(), labelSchema),
  /** The share of right predictions of each label, on images that it was not trained on. */
  accuracy: z.optional(z.record(z.string(), z.number())),
  measured_on: ignored,
});

type ClassifierConfig = z.output<typeof schema>;
type Shapes = {
  sampleSize: number;
  channels: readonly number[];
  groups: number;
  /** The classes of each label, and whether it has `texture`. */
  labels: Readonly<Record<string, { classes: number; texture: boolean }>>;
};

/** Reads the parsed `config.json` of an image classifier; ModelError. */
export function classifierConfig(json: unknown, file: string): ClassifierConfig {
  const c = parseConfig(schema, json, file);
  for (const [label, { classes, default: named }] of Object.entries(c.labels)) {
    const names = new Set(classes.map(({ name }) => name));
    const unknown = [named, ...classes.map(({ same_as }) => same_as)].find(
      (name) => name && !names.has(name),
    );
    if (unknown !== undefined)
      throw new ModelError(file, `labels.${label}: must name one of its own classes, got "${unknown}".`);
  }
  return c;
}

/** What of a config decides the network. */
export const classifierShapes = (c: ClassifierConfig): Shapes => ({
  sampleSize: c.sample_size,
  channels: c.block_out_channels,
  groups: c.norm_num_groups,
  labels: Object.fromEntries(
    Object.entries(c.labels).map(([name, { classes, texture }]) => [
      name,
      { classes: classes.length, texture },
    ]),
  ),
});

/** image: [B, 3, size, size] in -1..1 -> the probability of every class of each label: [B, classes] */
export function imageClassifier(p: Params, c: Shapes, image: Tensor): Record<string, Tensor> {
  const norm = (at: Params, x: Tensor) => silu(groupNorm(at, x, { groups: c.groups, eps: 1e-5 }));
  let h = image;
  const textures: Tensor[] = [];
  for (const [i, width] of c.channels.entries()) {
    h = conv2d(p.at("down", i), h, width, { stride: 2 });
    h = block(p.at("blocks", i), h, norm);
    textures.push(reshape(mean(norm(p.at("norms", i), h), [2, 3]), [keep, width]));
  }
  // Not their mean: the images to evaluate are laid out as the renderings are, so a feature's position says much.
  const positions = reshape(norm(p.at("norm"), h), [keep, count(h.shape.slice(1))]);
  const all = Object.entries(c.labels).map(([label, { classes, texture }]) => {
    const features = texture ? concat([...textures, positions], 1) : positions;
    return [label, softmax(linear(p.at(label), features, classes))] as const;
  });
  return Object.fromEntries(all);
}

function block(p: Params, x: Tensor, norm: (p: Params, x: Tensor) => Tensor): Tensor {
  const C = x.shape[1]!;
  const h = conv2d(p.at("conv1"), norm(p.at("norm1"), x), C);
  return add(x, conv2d(p.at("conv2"), norm(p.at("norm2"), h), C));
}

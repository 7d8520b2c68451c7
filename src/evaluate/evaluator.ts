/**
 * @file The evaluator of a model: a classifier that says what is on an image, and so whether that is what the prompt asked
 * for. The bundled model has one in its folder `evaluator`.
 */

import path from "node:path";
import type { Engine } from "../engine/engine.js";
import { floats, floatsOf } from "../engine/engine.js";
import { readJson } from "../files/file-system.js";
import { fromRgbImage, type RgbImage } from "../image/pixels.js";
import { resizeImage } from "../image/resize.js";
import { classifierConfig, classifierShapes, imageClassifier } from "../models/image-classifier.js";
import { Component } from "../pipeline/component.js";
import { input } from "../tensor/operations.js";
import { resolveWeights } from "../weights/component.js";

/** The name of the class of each label. */
export type Labelled = Readonly<Record<string, string>>;
type Config = ReturnType<typeof classifierConfig>;

const batchSize = 16;

export class Evaluator {
  readonly config: Config;
  readonly #component: Component;

  private constructor(config: Config, component: Component) {
    this.config = config;
    this.#component = component;
  }

  /** `folder` has config.json and model.safetensors. ModelError, FileError. */
  static async open(folder: string, engine: Engine): Promise<Evaluator> {
    const file = path.join(folder, "config.json");
    const config = classifierConfig(await readJson(file), file);
    const weights = await resolveWeights(folder);
    return new Evaluator(config, new Component("evaluator", "evaluator", weights, engine));
  }

  get labels(): readonly string[] {
    return Object.keys(this.config.labels);
  }

  /** What is on each image. Of classes that count as one, the one that they count as. */
  async predict(images: readonly RgbImage[]): Promise<Labelled[]> {
    const shapes = classifierShapes(this.config);
    const { sampleSize: side } = shapes;
    const session = await this.#component.session("evaluator", (p) =>
      imageClassifier(p, shapes, input("image", [{ B: batchSize }, 3, side, side])),
    );
    const all: Labelled[] = [];
    for (let from = 0; from < images.length; from += batchSize) {
      const some = images.slice(from, from + batchSize);
      const pixels = new Float32Array(some.length * 3 * side * side);
      for (const [i, image] of some.entries())
        pixels.set(fromRgbImage(resizeImage(image, side, side, "bicubic")), i * 3 * side * side);
      const results = await session.run({ image: floats(pixels, some.length, 3, side, side) });
      for (const i of some.keys())
        all.push(
          Object.fromEntries(
            this.labels.map((label) => [label, this.#largest(label, floatsOf(results[label]), i)]),
          ),
        );
    }
    return all;
  }

  #largest(label: string, rows: Float32Array, image: number): string {
    const { classes } = this.config.labels[label]!;
    const row = rows.subarray(image * classes.length, (image + 1) * classes.length);
    const { name, same_as = name } = classes[row.indexOf(Math.max(...row))]!;
    return same_as;
  }

  /**
   * What a prompt asks for, by its words: of each label the class whose phrase is in it, else the label's default. Of two
   * phrases, one inside the other, the longer counts. A label is left out that the prompt does not name, or of which it
   * names two classes.
   */
  targetOf(prompt: string): Labelled {
    const found = Object.entries(this.config.labels).flatMap(([label, { classes }]) =>
      classes.flatMap(({ name, same_as = name, phrases = [name] }) =>
        phrases.flatMap((phrase) => {
          const from = wordsAt(phrase, prompt);
          return from < 0 ? [] : [{ label, name: same_as, from, to: from + phrase.length }];
        }),
      ),
    );
    const outermost = found.filter(
      ({ from, to }) =>
        !found.some((other) => other.from <= from && other.to >= to && other.to - other.from > to - from),
    );
    const targets = Object.entries(this.config.labels).flatMap(([label, { default: byDefault }]) => {
      const names = new Set(outermost.flatMap((one) => (one.label === label ? [one.name] : [])));
      const name = names.size === 0 ? byDefault : names.size === 1 ? [...names][0]! : undefined;
      return name === undefined ? [] : [[label, name] as const];
    });
    return Object.fromEntries(targets);
  }

  release(): Promise<void> {
    return this.#component.release();
  }
}

/** Where whole words stand in a text, in any case; -1 if they do not. */
function wordsAt(phrase: string, text: string): number {
  const literal = phrase.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return text.search(new RegExp(`(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, "iu"));
}

/** Of one image: which labels are right, and whether all are that the prompt named. */
export const rightLabels = (predicted: Labelled, target: Labelled): Record<string, boolean> =>
  Object.fromEntries(Object.entries(target).map(([label, name]) => [label, predicted[label] === name]));

/** The share of right predictions of each label among the images whose prompts name it. */
export function accuracy(
  predicted: readonly Labelled[],
  targets: readonly Labelled[],
): Record<string, number> {
  const rows = targets.map((target, i) => rightLabels(predicted[i]!, target));
  const labels = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return Object.fromEntries(
    labels.map((label) => {
      const named = rows.filter((row) => label in row);
      return [label, named.filter((row) => row[label]).length / named.length];
    }),
  );
}

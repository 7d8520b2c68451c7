/** @file The trained evaluator: predicts the noun, style and background of images, and its accuracy. */

import sharp from "sharp";
import { floatsOf, type Values } from "../../src/engine/engine.js";
import { lower } from "../../src/engine/lower.js";
import type { BlockingEngine, BlockingSession } from "../../src/engine/ort/blocking-engine.js";
import { fromRgbImage, type RgbImage } from "../../src/image/pixels.js";
import { input } from "../../src/tensor/operations.js";
import { Params, tracing } from "../../src/tensor/params.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { openSafetensors } from "../../src/weights/safetensors-file.js";
import type { Data } from "../data/dataset.js";
import { classesOf, type Label, type Labelled } from "../labels.js";
import { evaluatedSize, evaluator } from "./network.js";
import { type Drawing, heldOutSamples, lookOf } from "./samples.js";

type Weights = Readonly<Record<string, Values>>;

const batchSize = 32;

export class Evaluator {
  readonly #session: BlockingSession;
  readonly #weights: Weights;
  /** The nouns that it can tell apart, by the index of their class. */
  readonly nouns: readonly string[];

  private constructor(session: BlockingSession, weights: Weights, nouns: readonly string[]) {
    this.#session = session;
    this.#weights = weights;
    this.nouns = nouns;
  }

  static async open(engine: BlockingEngine, file: string, data: Data): Promise<Evaluator> {
    const params = new Map<string, Tensor>();
    const image = input("image", [batchSize, 3, evaluatedSize, evaluatedSize]);
    const outputs = evaluator(new Params(tracing(params)), classesOf(data), image);
    const weights = await openSafetensors(file);
    const read = [...params].map(async ([name, { shape }]) => [
      name,
      { data: await weights.readFloats(name), shape },
    ]);
    const session = await engine.load(lower("evaluator", outputs));
    const nouns = data.nouns.map(({ name }) => name);
    return new Evaluator(session, Object.fromEntries(await Promise.all(read)), nouns);
  }

  /** images: [3, 64, 64] in -1..1 each. Of styles with one look the first is predicted. */
  async predict(images: readonly Float32Array[]): Promise<Labelled[]> {
    const area = 3 * evaluatedSize ** 2;
    const all: Labelled[] = [];
    for (let from = 0; from < images.length; from += batchSize) {
      const some = images.slice(from, from + batchSize);
      const data = new Float32Array(batchSize * area);
      for (const [i, image] of some.entries()) data.set(image, i * area);
      const shape = [batchSize, 3, evaluatedSize, evaluatedSize];
      const results = await this.#session.run({ ...this.#weights, image: { data, shape } });
      for (const i of some.keys()) {
        const classOf = (label: Label) => largest(rowOf(floatsOf(results[label]), i));
        const style = lookOf(classOf("style"));
        all.push({ noun: classOf("noun"), style, background: classOf("background") });
      }
    }
    return all;
  }
}

const rowOf = (rows: Float32Array, i: number) =>
  rows.subarray((i * rows.length) / batchSize, ((i + 1) * rows.length) / batchSize);

const largest = (row: Float32Array) => row.indexOf(Math.max(...row));

/** An image of any size as the evaluator's input. */
export async function shrunk({ data, width, height }: RgbImage): Promise<Float32Array> {
  const raw = { width, height, channels: 3 } as const;
  const small = sharp(data, { raw }).resize(evaluatedSize, evaluatedSize, { kernel: "cubic" }).removeAlpha();
  return fromRgbImage({ data: await small.raw().toBuffer(), width: evaluatedSize, height: evaluatedSize });
}

/** The share of right predictions of each label. */
export function accuracy(
  predicted: readonly Labelled[],
  targets: readonly Labelled[],
): Record<Label, number> {
  const share = (label: Label) =>
    predicted.filter((one, i) => one[label] === targets[i]![label]).length / predicted.length;
  return { noun: share("noun"), style: share("style"), background: share("background") };
}

/** The accuracy on renderings that were not trained on. */
export async function heldOutAccuracy(
  evaluator: Evaluator,
  drawings: readonly Drawing[],
): Promise<Record<Label, number>> {
  const shown = heldOutSamples(drawings);
  const predicted = await evaluator.predict(shown.map(({ image }) => image));
  return accuracy(
    predicted,
    shown.map(({ drawing: { noun, style }, background }) => ({ noun, style: lookOf(style), background })),
  );
}

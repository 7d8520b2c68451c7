/** @file Training an `AutoencoderTiny` to give back the pictures it is given: mean squared error in -1..1. */

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { Generator } from "../diffusion/random.js";
import type { BlockingEngine } from "../engine/ort.js";
import { fromPicture, type Picture, toPicture } from "../image/pixels.js";
import type { TinyVaeConfig } from "../models/tiny-vae.js";
import { readFloats, type WeightSet } from "../weights/component.js";
import { writeAll, writeBeside } from "../weights/files.js";
import type { JsonObject } from "../weights/json.js";
import { writeSafetensors } from "../weights/safetensors-file.js";
import { tinyAutoencoderLoss } from "./autoencoder-loss.js";
import { batchesFrom } from "./data/buckets.js";
import { prepareExamples } from "./data/prepare.js";
import { seeded } from "./data/seeded.js";
import type { DataSource } from "./data/source.js";
import { Layout } from "./flat.js";
import type { TrainingOptions } from "./options.js";
import { parallelProgram } from "./parallel.js";
import { type GradientProgram, trainingDevice, wholeProgram } from "./programs.js";
import { randomWeight } from "./random-weights.js";
import type { Job } from "./trainer.js";

/** Pictures of one size as bytes in memory, by key. */
export type Pictures = ReadonlyMap<string, Picture>;

/** Reads all pictures of a data set at one size; what is broken is named and left out. */
export async function loadPictures(
  source: DataSource,
  { resolution, randomCrop, seed }: TrainingOptions,
  say: (line: string) => void,
): Promise<Pictures> {
  const size = { height: resolution, width: resolution };
  const crop = randomCrop ? "random" : "center";
  const prepared = prepareExamples(source, [size], { random: (key) => seeded(seed, "crop", key), crop });
  const pictures = new Map<string, Picture>();
  for await (const { key, pixels } of prepared.examples)
    pictures.set(key, toPicture(pixels, resolution, resolution));
  for (const { key, reason } of prepared.skipped) say(`skipped ${key}: ${reason}`);
  return pictures;
}

/** With few channels on many pixels ONNX Runtime's own Conv was 1.3 to 1.5 times as fast as products over the batch. */
const channelsFirst = { ...trainingDevice, channelsLast: false };

export type AutoencoderOptions = {
  engine: BlockingEngine;
  options: TrainingOptions;
  config: TinyVaeConfig;
  json: JsonObject;
  /** What training begins with; random if left out. */
  weights?: WeightSet;
  pictures: Pictures;
  output: string;
  description: JsonObject;
};

export function autoencoderJob({
  engine,
  options,
  config,
  json,
  weights: begun,
  pictures,
  output,
  description,
}: AutoencoderOptions): Job {
  const { trainBatchSize: batch, resolution, seed, randomFlip, latentMomentWeight: momentWeight } = options;
  const { dataParallel: parts } = options;
  const share = { batch: batch / parts, height: resolution, width: resolution };
  const trace = tinyAutoencoderLoss(config, share, { momentWeight });
  const shapes = new Map([...trace.params].map(([name, t]) => [name, t.shape]));
  const layout = new Layout(shapes);
  const keys = new Map([["all", [...pictures.keys()].sort()]]);
  let program: Promise<GradientProgram> | undefined;
  return {
    description,
    layout,
    initialise: async (weights) => {
      const generator = new Generator(seed);
      for (const name of layout.places.keys())
        layout
          .view(weights, name)
          .set(begun ? await readFloats(begun, name) : randomWeight(name, shapes, generator));
    },
    gradient: async ({ position, batch: number }, weights, into) => {
      const chosen = batchesFrom(position, seed, keys, batch).next().value!;
      const flips = seeded(seed, "flip", number);
      const size = 3 * resolution ** 2;
      const data = new Float32Array(batch * size);
      for (const [i, key] of chosen.keys.entries()) {
        const image = fromPicture(pictures.get(key)!);
        data.set(randomFlip && flips() < 0.5 ? mirrored(image, resolution) : image, i * size);
      }
      program ??=
        parts > 1
          ? parallelProgram(trace, layout, parts, channelsFirst)
          : wholeProgram(engine, trace, layout, channelsFirst);
      const terms = await (await program).run(
        weights,
        { image: { data, shape: [batch, 3, resolution, resolution] } },
        into,
      );
      const [total, mse] = [terms.total![0]!, terms.mse![0]!];
      // A picture spans 2, so that its peak signal-to-noise ratio is 10 log10(4 / error).
      return { terms: { total, psnr: 10 * Math.log10(4 / mse) }, images: batch, next: chosen.next };
    },
    save: (weights) => saveAutoencoder(output, json, layout, weights),
  };
}

/** Rows of `width` numbers, each turned round. */
function mirrored(image: Float32Array, width: number): Float32Array {
  return image.map((_, i) => image[i - (i % width) + (width - 1 - (i % width))]!);
}

async function saveAutoencoder(
  output: string,
  json: JsonObject,
  layout: Layout,
  weights: Float32Array,
): Promise<void> {
  await mkdir(output, { recursive: true });
  const config = new TextEncoder().encode(
    `${JSON.stringify({ _class_name: "AutoencoderTiny", ...json }, undefined, 2)}\n`,
  );
  await writeBeside(path.join(output, "config.json"), (handle) => writeAll(handle, config));
  const tensors = [...layout.tensors(weights)].map(
    ([name, t]) => [name, { dtype: "F32" as const, ...t }] as const,
  );
  await writeSafetensors(path.join(output, "diffusion_pytorch_model.safetensors"), new Map(tensors));
}

/** @file Training of an `AutoencoderTiny` to reconstruct images, as a training task. */

import path from "node:path";
import { Generator } from "../diffusion/random.js";
import type { Device } from "../engine/device.js";
import type { Program } from "../engine/lower.js";
import type { BlockingEngine, BlockingSession } from "../engine/ort/blocking-engine.js";
import { InvalidRequest, listed } from "../errors.js";
import { kindOf, makeFolder, readdir, writeWhole } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { fromRgbImage, type RgbImage, toRgbImage } from "../image/pixels.js";
import { type TinyVaeConfig, tinyEncode } from "../models/tiny-vae.js";
import { runFile } from "../monitor/run-folder.js";
import { componentProgram } from "../pipeline/component.js";
import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import { count, type Shape } from "../tensor/tensor.js";
import { readFloats, type WeightSet } from "../weights/component.js";
import { writeSafetensors } from "../weights/safetensors-file.js";
import { tinyAutoencoderLoss } from "./autoencoder-loss.js";
import { batchesFrom } from "./data/buckets.js";
import { prepareExamples } from "./data/prepare.js";
import { below, seeded } from "./data/seeded.js";
import type { DataSource, SkippedExample } from "./data/source.js";
import { stepProgram } from "./data-parallel.js";
import { type GradientProgram, trainingDevice } from "./gradient-program.js";
import type { TrainingOptions } from "./options.js";
import { ParameterBuffer } from "./parameter-buffer.js";
import { randomWeight } from "./random-weights.js";
import type { TrainingTask } from "./trainer.js";

/** Images of one size as bytes in memory, by key. */
export type ImageSet = ReadonlyMap<string, RgbImage>;

/** Reads all images of a data set at one size; a broken one is left out and passed to `onSkip`. */
export async function loadImages(
  source: DataSource,
  { resolution, randomCrop, seed }: TrainingOptions,
  onSkip: (skipped: SkippedExample) => void,
): Promise<ImageSet> {
  const size = { height: resolution, width: resolution };
  const crop = randomCrop ? "random" : "center";
  const prepared = prepareExamples(source, [size], { random: (key) => seeded(seed, "crop", key), crop });
  const images = new Map<string, RgbImage>();
  for await (const { key, pixels } of prepared.examples)
    images.set(key, toRgbImage(pixels, resolution, resolution));
  prepared.skipped.forEach(onSkip);
  return images;
}

/** With few channels on many pixels ONNX Runtime's own Conv was 1.3 to 1.5 times as fast as products over the batch. */
const channelsFirst = (device: Device): Device => ({ ...trainingDevice(device), channelsLast: false });

export type AutoencoderSetup = {
  engine: BlockingEngine;
  options: TrainingOptions;
  config: TinyVaeConfig;
  json: JsonObject;
  /** Initial weights; random if left out. */
  weights?: WeightSet;
  images: ImageSet;
  output: string;
  description: JsonObject;
};

export function autoencoderTask(setup: AutoencoderSetup): TrainingTask {
  const { engine, options, config, images, weights: initial } = setup;
  const { trainBatchSize: batch, resolution, seed, dataParallel: parts, decoderOnly } = options;
  if (decoderOnly && !initial) {
    const rule = "needs the encoder that it is to fit, got an autoencoder without weights. Name its folder.";
    throw new InvalidRequest("decoderOnly", true, rule);
  }
  const share = { batch: batch / parts, height: resolution, width: resolution };
  const { latentMomentWeight: momentWeight, latentNoise } = options;
  const noisy = latentNoise > 0;
  const trace = tinyAutoencoderLoss(config, share, { momentWeight, decoderOnly, noisy });
  const latentShape = [batch, ...trace.latent.shape.slice(1)];
  const shapes = new Map([...trace.params].map(([name, t]) => [name, t.shape]));
  const layout = new ParameterBuffer(shapes);
  const keys = new Map([["all", [...images.keys()].sort()]]);
  let program: Promise<GradientProgram> | undefined;
  let encoder: Promise<BlockingSession> | undefined;
  return {
    description: setup.description,
    layout,
    initialise: async (weights) => {
      const generator = new Generator(seed);
      for (const name of layout.slices.keys())
        layout
          .view(weights, name)
          .set(initial ? await readFloats(initial, name) : randomWeight(name, shapes, generator));
    },
    gradient: async ({ position, batch: number }, weights, into) => {
      const chosen = batchesFrom(position, seed, keys, batch).next().value!;
      const image = imageBatch(chosen.keys, number, setup);
      if (decoderOnly) encoder ??= engine.load(encoderProgram(initial!, config, engine));
      const latent = encoder && (await (await encoder).run({ image })).latent!;
      const noise = noisy && latentErrors(latentShape, latentNoise, seed, number);
      program ??= stepProgram(engine, trace, layout, parts, channelsFirst(engine.device));
      const terms = await (await program).run(
        weights,
        { image, ...(latent && { latent }), ...(noise && { noise }) },
        into,
      );
      const [total, mse] = [terms.total![0]!, terms.mse![0]!];
      // An image spans 2, so that its peak signal-to-noise ratio is 10 log10(4 / error).
      const moments = terms.moments && { moments: terms.moments[0]! };
      const psnr = 10 * Math.log10(4 / mse);
      return { terms: { total, psnr, ...moments }, images: batch, next: chosen.next };
    },
    release: async () => {
      await (await program)?.release();
      await (await encoder)?.release();
    },
    save: async (weights) => saveAutoencoder(setup, layout.tensors(weights)),
  };
}

/** image: [B, 3, H, W] -> latent: [B, 4, h, w], for any size */
function encoderProgram(weights: WeightSet, config: TinyVaeConfig, engine: BlockingEngine): Program {
  const { B, H, W } = { B: 1, H: 64, W: 64 };
  const encode = (p: Params) => ({
    latent: tinyEncode(p, config, input("image", [{ B }, 3, { H }, { W }])),
  });
  return componentProgram("encoder", "the autoencoder", weights, encode, engine);
}

/** The images of a batch, some of them mirrored: [B, 3, H, W] in -1..1 */
function imageBatch(keys: readonly string[], number: number, { options, images }: AutoencoderSetup) {
  const { resolution, seed, randomFlip } = options;
  const flips = seeded(seed, "flip", number);
  const size = 3 * resolution ** 2;
  const data = new Float32Array(keys.length * size);
  for (const [i, key] of keys.entries()) {
    const image = fromRgbImage(images.get(key)!);
    data.set(randomFlip && flips() < 0.5 ? mirrored(image, resolution) : image, i * size);
  }
  return { data, shape: [keys.length, 3, resolution, resolution] };
}

/** The noise of batch `number`: normal numbers of standard deviation `sigma`. */
function latentErrors(shape: Shape, sigma: number, seed: number, number: number) {
  const generator = new Generator(below(2 ** 32, seeded(seed, "latent noise", number)));
  return { data: generator.normal(count(shape)).map((x) => sigma * x), shape };
}

/** An image of rows of `width` pixels, mirrored. */
function mirrored(image: Float32Array, width: number): Float32Array {
  return image.map((_, i) => image[i - (i % width) + (width - 1 - (i % width))]!);
}

const configFile = "config.json";
const weightsFile = "diffusion_pytorch_model.safetensors";

/** Refuses, before a run begins, a folder that already holds an autoencoder of another run. */
export async function checkAutoencoderOutput(output: string): Promise<void> {
  if ((await kindOf(output)) !== "folder") return;
  const there = await readdir(output);
  const models = there.includes(runFile)
    ? []
    : there.filter((name) => name === configFile || name === weightsFile);
  if (models.length === 0) return;
  const rule = `must be new, empty or a run of training, got ${listed(models)} in "${output}".`;
  throw new InvalidRequest("output", output, `${rule} Choose another folder.`);
}

/** Writes the trained weights, and the initial ones of what was not trained. */
async function saveAutoencoder(
  { output, json, weights }: AutoencoderSetup,
  trained: ReadonlyMap<string, { shape: Shape; data: Float32Array }>,
): Promise<void> {
  await makeFolder(output);
  const config = `${JSON.stringify({ _class_name: "AutoencoderTiny", ...json }, undefined, 2)}\n`;
  await writeWhole(path.join(output, configFile), config);
  const kept = [...(weights?.tensors ?? [])].filter(([name]) => !trained.has(name));
  const tensors = [
    ...kept.map(([name, { shape }]) => [name, { shape, data: () => readFloats(weights!, name) }] as const),
    ...trained,
  ].map(([name, t]) => [name, { dtype: "F32" as const, ...t }] as const);
  await writeSafetensors(path.join(output, weightsFile), new Map(tensors));
}

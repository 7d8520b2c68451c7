/** @file Training an autoencoder on noise: that it learns, where its latents end up, and what stays as it was. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { tinyVaeConfig } from "../models/tiny-vae.js";
import { readFloats, resolveWeights } from "../weights/component.js";
import { autoencoderTask, checkAutoencoderOutput } from "./autoencoder-task.js";
import type { TrainingEvent } from "./events.js";
import { trainingOptions } from "./options.js";
import { train } from "./trainer.js";

const json = {
  encoder_block_out_channels: [8, 8],
  decoder_block_out_channels: [8, 8],
  num_encoder_blocks: [0, 1],
  num_decoder_blocks: [1, 0],
};
const engine = blockingEngine({ threads: 1 });
const root = await mkdtemp(path.join(tmpdir(), "koala-autoencoder-"));
afterAll(() => rm(root, { recursive: true }));

/** Eight plain colours. */
const generator = new Generator(0);
const images = new Map(
  Array.from({ length: 8 }, (_, i) => {
    const colour = [0, 1, 2].map(() => generator.random32() & 255);
    const data = Uint8Array.from({ length: 3 * 256 }, (_, j) => colour[j % 3]!);
    return [String(i), { width: 16, height: 16, data }] as const;
  }),
);

async function run(name: string, request: object, from?: string) {
  const output = path.join(root, name);
  const options = trainingOptions({
    resolution: 16,
    trainBatchSize: 4,
    maxTrainSteps: 60,
    learningRate: 3e-3,
    adamWeightDecay: 0,
    ...request,
  });
  const weights = from === undefined ? {} : { weights: await resolveWeights(path.join(root, from)) };
  const config = tinyVaeConfig(json);
  const job = autoencoderTask({
    engine,
    options,
    config,
    json,
    ...weights,
    images,
    output,
    description: {},
  });
  const rows: Record<string, number>[] = [];
  const onEvent = (event: TrainingEvent) =>
    void (event.type === "step" && rows.push(event.metrics as unknown as Record<string, number>));
  await train(job, { folder: output, options, resume: false, onEvent });
  return { first: rows[0]!, last: rows.at(-1)!, weights: await resolveWeights(output) };
}

describe("the output of an autoencoder", () => {
  it("is not written over another autoencoder, as over the one that it begins as", async () => {
    const folder = path.join(root, "another");
    await mkdir(folder);
    await checkAutoencoderOutput(folder);
    await checkAutoencoderOutput(path.join(root, "absent"));
    await writeFile(path.join(folder, "config.json"), "{}");
    await expect(checkAutoencoderOutput(folder)).rejects.toMatchObject({
      field: "output",
      message: expect.stringContaining('got "config.json" in'),
    });
  });
});

describe("an autoencoder in training", () => {
  it("learns its images, and to keep its latents at mean 0 and variance 1", async () => {
    const { first, last } = await run("whole", { latentMomentWeight: 0.1 });
    expect(last.psnr!).toBeGreaterThan(first.psnr! + 3);
    expect(last.moments!).toBeLessThan(0.5 * first.moments!);
  });

  it("goes on with its decoder alone, the encoder staying what it was in every bit", async () => {
    const before = await resolveWeights(path.join(root, "whole"));
    const { first, last, weights } = await run("decoder", { decoderOnly: true }, "whole");
    expect(last.loss!).toBeLessThan(first.loss!);
    expect([...weights.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
    for (const name of weights.tensors.keys()) {
      const [old, now] = [await readFloats(before, name), await readFloats(weights, name)];
      if (name.startsWith("encoder.")) expect(now).toEqual(old);
      else expect(now).not.toEqual(old);
    }
  });

  it("learns from latents with noise as well, and its images are the worse for it", async () => {
    const [clean, noisy] = [await run("clean", {}), await run("noisy", { latentNoise: 0.5 })];
    expect(noisy.last.psnr!).toBeGreaterThan(noisy.first.psnr!);
    expect(noisy.last.psnr!).toBeLessThan(clean.last.psnr!);
  });

  it("refuses to train a decoder for no encoder", async () => {
    await expect(run("nothing", { decoderOnly: true })).rejects.toThrow(/decoderOnly: needs the encoder/);
  });
});

/** @file What the decoder is given: latents, and noise where it is to bear errors in them. */

import { describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { tinyVaeConfig } from "../models/tiny-vae.js";
import { tinyAutoencoderLoss } from "./autoencoder-loss.js";
import { layoutOf, wholeProgram } from "./gradient-program.js";
import { randomWeights } from "./random-weights.js";

const config = tinyVaeConfig({
  encoder_block_out_channels: [8, 8],
  decoder_block_out_channels: [8, 8],
  num_encoder_blocks: [0, 1],
  num_decoder_blocks: [1, 0],
});
const size = { batch: 2, height: 16, width: 16 };

describe("the loss of an AutoencoderTiny", () => {
  it("decodes latents with noise as the sum of both", async () => {
    const engine = blockingEngine({ threads: 1 });
    const plain = tinyAutoencoderLoss(config, size, { decoderOnly: true });
    const noisy = tinyAutoencoderLoss(config, size, { decoderOnly: true, noisy: true });
    const layout = layoutOf(plain);
    const shapes = new Map([...plain.params].map(([name, { shape }]) => [name, shape]));
    const generator = new Generator(5);
    const weights = randomWeights(layout, shapes, generator);

    const image = { data: generator.normal(2 * 3 * 256), shape: [2, 3, 16, 16] };
    const [latent, noise] = [0, 1].map(() => ({
      data: generator.normal(2 * 4 * 64),
      shape: [2, 4, 8, 8],
    })) as [{ data: Float32Array; shape: number[] }, { data: Float32Array; shape: number[] }];
    const sum = { data: latent.data.map((z, i) => z + noise.data[i]!), shape: latent.shape };

    const gradients = new Float32Array(layout.total);
    const without = await wholeProgram(engine, plain, layout);
    const { mse: expected } = await without.run(weights, { image, latent: sum }, gradients);
    const { mse: clean } = await without.run(weights, { image, latent }, gradients);
    const { mse } = await (await wholeProgram(engine, noisy, layout)).run(
      weights,
      { image, latent, noise },
      gradients,
    );
    expect(mse![0]).toBeCloseTo(expected![0]!, 6);
    expect(Math.abs(clean![0]! - expected![0]!)).toBeGreaterThan(1e-3);
  });
});

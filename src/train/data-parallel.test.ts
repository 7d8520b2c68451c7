/** @file A step on two threads against the same step in one program. */

import { describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { tinyVaeConfig } from "../models/tiny-vae.js";
import { tinyAutoencoderLoss } from "./autoencoder-loss.js";
import { parallelProgram, parallelRun } from "./data-parallel.js";
import { layoutOf, wholeProgram } from "./gradient-program.js";
import { randomWeights } from "./random-weights.js";

const config = tinyVaeConfig({
  encoder_block_out_channels: [8, 8],
  decoder_block_out_channels: [8, 8],
  num_encoder_blocks: [0, 1],
  num_decoder_blocks: [1, 0],
});
const size = { height: 16, width: 16 };

describe("a training step in two shares", () => {
  it("has the losses and gradients of the whole batch", async () => {
    const whole = tinyAutoencoderLoss(config, { batch: 4, ...size });
    const layout = layoutOf(whole);
    const shapes = new Map([...whole.params].map(([name, { shape }]) => [name, shape]));
    const generator = new Generator(3);
    const weights = randomWeights(layout, shapes, generator);
    const image = { data: generator.normal(4 * 3 * 256), shape: [4, 3, 16, 16] };

    const alone = await wholeProgram(blockingEngine({ threads: 1 }), whole, layout);
    const shared = await parallelProgram(tinyAutoencoderLoss(config, { batch: 2, ...size }), layout, 2);
    const [expected, got] = [new Float32Array(layout.total), new Float32Array(layout.total)];
    const terms = await alone.run(weights, { image }, expected);
    const termsOfShares = await shared.run(weights, { image }, got);
    await shared.release();

    expect(termsOfShares.total![0]).toBeCloseTo(terms.total![0]!, 5);
    const largest = Math.max(...expected.map(Math.abs));
    expect(largest).toBeGreaterThan(1e-4);
    for (const [i, value] of expected.entries())
      expect(Math.abs(got[i]! - value) / largest).toBeLessThan(1e-5);
  });
});

describe("a network on two threads", () => {
  it("gives the rows in the order of the batch", async () => {
    const doubles = {
      run: async (
        inputs: Readonly<Record<string, { data: Float32Array | BigInt64Array; shape: readonly number[] }>>,
      ) => {
        const { data, shape } = inputs.x!;
        return { y: { data: (data as Float32Array).map((v) => 2 * v), shape } };
      },
    };
    const run = parallelRun([doubles, doubles]);
    const { y } = await run({ x: { data: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), shape: [4, 2] } });
    expect(y).toEqual({ data: Float32Array.of(2, 4, 6, 8, 10, 12, 14, 16), shape: [4, 2] });
  });
});

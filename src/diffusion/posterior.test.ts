/** @file The posterior against Diffusers' numbers and closed forms. */

import { describe, expect, test } from "vitest";
import { goldenFolder } from "../../test/cache-data.js";
import { openSafetensors } from "../weights/safetensors-file.js";
import { samplePosterior, scaled } from "./posterior.js";
import { Generator } from "./random.js";

describe("the posterior", () => {
  test("is sampled as DiagonalGaussianDistribution does with the same generator", async () => {
    const golden = await openSafetensors(goldenFolder("stages/koala-1b-tiny.safetensors"));
    const read = (name: string) => golden.readFloats(`vae.encode.square.${name}`);
    const moments = Float32Array.of(...(await read("mean")), ...(await read("logvar")));
    const sample = samplePosterior(moments, 1, new Generator(1010));
    const expected = await read("sampled");
    expect(sample).toHaveLength(expected.length);
    // One unit in the last place is what another implementation of exp may differ by.
    for (const [i, x] of expected.entries())
      expect(Math.abs(sample[i]! - x)).toBeLessThan(3e-7 * (1 + Math.abs(x)));
  });

  test("takes each example's mean and log-variance, held to -30..20", () => {
    const one = { mean: [1, 2], logvar: [-100, 0] };
    const two = { mean: [3, 4], logvar: [100, Math.log(4)] };
    const moments = Float32Array.of(...one.mean, ...one.logvar, ...two.mean, ...two.logvar);
    const sample = samplePosterior(moments, 2, new Generator(5));
    const noise = new Generator(5).normal(4);
    const deviations = [Math.exp(-15), 1, Math.exp(10), 2];
    const expected = [1, 2, 3, 4].map((mean, i) => mean + deviations[i]! * noise[i]!);
    for (const [i, x] of expected.entries()) expect(Math.abs(sample[i]! / x - 1)).toBeLessThan(1e-6);
  });

  test("scales by the float32 of the config's number", () => {
    expect(scaled(Float32Array.of(2, -4), 0.13025)).toEqual(Float32Array.of(0.2605, -0.521));
  });
});

/** @file Posteriors against Diffusers' numbers and closed forms. */

import { describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/cache-data.js";
import { openSafetensors } from "../weights/safetensors-file.js";
import { ancestralSigmas, posteriorVariance, sampleLatents, samplePosterior } from "./posterior.js";
import { Generator } from "./random.js";

describe("the posterior of an autoencoder", () => {
  it("is sampled as DiagonalGaussianDistribution does with the same generator", async () => {
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

  it("takes each example's mean and log-variance, held to -30..20", () => {
    const one = { mean: [1, 2], logvar: [-100, 0] };
    const two = { mean: [3, 4], logvar: [100, Math.log(4)] };
    const moments = Float32Array.of(...one.mean, ...one.logvar, ...two.mean, ...two.logvar);
    const sample = samplePosterior(moments, 2, new Generator(5));
    const noise = new Generator(5).normal(4);
    const deviations = [Math.exp(-15), 1, Math.exp(10), 2];
    const expected = [1, 2, 3, 4].map((mean, i) => mean + deviations[i]! * noise[i]!);
    for (const [i, x] of expected.entries()) expect(Math.abs(sample[i]! / x - 1)).toBeLessThan(1e-6);
  });

  it("gives latents times the float32 of scaling_factor; a tiny autoencoder's latents draw nothing", () => {
    const generator = new Generator(1);
    const tiny = { encodes: "latents", scalingFactor: 0.13025 } as const;
    expect(sampleLatents(Float32Array.of(2, -4), tiny, 1, generator)).toEqual(
      Float32Array.of(0.2605, -0.521),
    );
    expect(generator.normal(4)).toEqual(new Generator(1).normal(4));
    const kl = { ...tiny, encodes: "moments" } as const;
    const [x] = sampleLatents(Float32Array.of(1, 0), kl, 1, new Generator(3));
    expect(x).toBeCloseTo(0.13025 * (1 + new Generator(3).normal(1)[0]!), 6);
  });
});

describe("the posterior of the forward process", () => {
  it("has the variance of Bayes' rule for two Gaussians", () => {
    // x_to = N(0, 1 - to) given x_0 = 0; x_from = sqrt(from / to) x_to + N(0, 1 - from / to).
    const [from, to] = [0.3, 0.6];
    const precision = 1 / (1 - to) + from / to / (1 - from / to);
    expect(posteriorVariance(from, to)).toBeCloseTo(1 / precision, 6);
  });

  it("is the same in sigmas: noise of deviation `up` restores the next sigma", () => {
    const [from, to] = [3, 2];
    const { up, down } = ancestralSigmas(from, to);
    expect(up ** 2 + down ** 2).toBeCloseTo(to ** 2, 12);
    const alphaBar = (sigma: number) => 1 / (1 + sigma ** 2);
    const variance = posteriorVariance(alphaBar(from), alphaBar(to));
    expect(up ** 2 * alphaBar(to)).toBeCloseTo(variance, 6);
  });
});

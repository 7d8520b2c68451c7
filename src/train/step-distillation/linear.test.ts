/** @file What an output says of a noisy sample, against the noise and the clean sample that the noisy one was made of. */

import { describe, expect, it } from "vitest";
import { Generator } from "../../diffusion/random.js";
import { addNoise, trainingNoise, trainingTarget } from "../noise.js";
import { applied, cleanSample, consistencyFunction, ddimStep, noiseIn } from "./linear.js";

const [clean, drawn] = [new Generator(1).normal(24), new Generator(2).normal(24)];
const config = { beta_schedule: "scaled_linear", beta_start: 0.00085, beta_end: 0.012 };
const furthest = (a: Float32Array, b: Float32Array) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

describe.each(["epsilon", "v_prediction"] as const)("of a network that predicts %s", (target) => {
  const noise = trainingNoise(config, { target });
  const at = (t: number) => ({
    sample: addNoise(noise, clean, drawn, [t]),
    output: trainingTarget(noise, clean, drawn, [t]),
  });

  it.each([999, 480, 19])(
    "an exact output at timestep %i gives the sample, the noise and every other level",
    (t) => {
      const { sample, output } = at(t);
      expect(furthest(applied([cleanSample(noise, t)], sample, output), clean)).toBeLessThan(1e-5);
      expect(furthest(applied([noiseIn(noise, t)], sample, output), drawn)).toBeLessThan(1e-5);
      for (const to of [700, 20, 0])
        expect(furthest(applied([ddimStep(noise, t, to)], sample, output), at(to).sample)).toBeLessThan(1e-5);
      expect(furthest(applied([ddimStep(noise, t, -1)], sample, output), clean)).toBeLessThan(1e-5);
    },
  );

  it("the consistency function is the identity at timestep 0, and nearly the clean sample elsewhere", () => {
    const scalings = { timestepScaling: 10 };
    expect(consistencyFunction(noise, 0, scalings)).toEqual({ sample: 1, output: 0 });
    const { sample, output } = at(480);
    const value = applied([consistencyFunction(noise, 480, scalings)], sample, output);
    expect(furthest(value, clean)).toBeLessThan(1e-5);
  });
});

it("pure noise leaves a network of v its clean sample: the output, negated", () => {
  const noise = trainingNoise(config, { target: "v_prediction", rescaleBetasZeroSnr: true });
  expect(cleanSample(noise, 999)).toEqual({ sample: 0, output: -1 });
});

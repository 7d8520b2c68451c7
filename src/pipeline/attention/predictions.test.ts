/** @file A step's predictions of the clean image, by scheduler. */

import { describe, expect, it } from "vitest";
import { guide } from "../../diffusion/guidance.js";
import { Generator } from "../../diffusion/random.js";
import { schedulerFromConfig } from "../../diffusion/schedulers/registry.js";
import { cleanPredictions } from "./predictions.js";

const random = new Generator(3n);
const normal = (n: number) => random.normal(n);

describe("the clean image that a step predicts", () => {
  it.each([
    ["EulerDiscreteScheduler", "epsilon"],
    ["DDIMScheduler", "v_prediction"],
    ["DPMSolverMultistepScheduler", "epsilon"],
  ])("is by each prediction what %s makes of it alone (%s)", (name, prediction_type) => {
    const config = {
      prediction_type,
      beta_schedule: "scaled_linear",
      beta_start: 0.00085,
      beta_end: 0.012,
      clip_sample: false,
    };
    const make = () => {
      const scheduler = schedulerFromConfig(config, {}, name);
      scheduler.setTimesteps(4);
      return scheduler;
    };
    const scheduler = make();
    const timestep = scheduler.timesteps[0]!;
    const latents = normal(256).map((x) => x * scheduler.initNoiseSigma);
    const modelInput = scheduler.scaleModelInput(latents, timestep);
    const [text, uncond] = [normal(256), normal(256)];
    const cleanOf = (output: Float32Array) => {
      const alone = make();
      alone.scaleModelInput(latents, timestep);
      return alone.step(output, timestep, latents).predOriginalSample;
    };
    const noisePred = guide(uncond, text, 5);
    const step = { modelInput, noisePred, noisePredText: text, noisePredUncond: uncond };
    const found = cleanPredictions({ ...step, predOriginalSample: cleanOf(noisePred) }, 0, 1);
    for (const [got, output] of [[found.prompt, text] as const, [found.negative!, uncond] as const]) {
      const wanted = cleanOf(output);
      const most = Math.max(...wanted.map(Math.abs));
      for (const [i, x] of wanted.entries()) expect(Math.abs(got[i]! - x)).toBeLessThan(1e-4 * most);
    }
    expect(found.difference).toBeGreaterThan(1);
  });
});

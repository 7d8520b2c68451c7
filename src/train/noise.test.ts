/** @file The training noise against golden/data/distil/schedule.* (PyTorch and Diffusers). */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { openSafetensors } from "../weights/safetensors-file.js";
import {
  addNoise,
  drawNoise,
  drawTimesteps,
  minSnrWeights,
  snr,
  trainingNoise,
  trainingTarget,
} from "./noise.js";

const data = new URL("../../golden/data/", import.meta.url).pathname;
const golden = await openSafetensors(`${data}distil/schedule.safetensors`);
const ints = async (name: string) => Array.from((await golden.read(name)) as BigInt64Array, Number);
const sdxl = {
  _class_name: "EulerDiscreteScheduler",
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  beta_end: 0.012,
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  timestep_spacing: "leading",
};
const epsilon = trainingNoise(sdxl);
const v = trainingNoise(sdxl, { target: "v_prediction" });
const every = Array.from({ length: 1000 }, (_, t) => t);

/** Largest difference over largest value. */
function distance(got: ArrayLike<number>, wanted: Float32Array): number {
  expect(got.length).toBe(wanted.length);
  const worst = wanted.reduce((most, x, i) => Math.max(most, Math.abs(got[i]! - x)), 0);
  return worst / wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}

const relative = (got: ArrayLike<number>, wanted: Float32Array): number =>
  wanted.reduce((most, x, i) => Math.max(most, Math.abs(got[i]! - x) / Math.abs(x)), 0);

describe("the schedule equals PyTorch's", () => {
  it("alphas_cumprod, to the last bit of float32", async () => {
    expect(epsilon.alphasCumprod).toEqual(await golden.readFloats("alphas_cumprod"));
  });

  it("the signal-to-noise ratio", async () => {
    expect(
      relative(
        every.map((t) => snr(epsilon, t)),
        await golden.readFloats("snr"),
      ),
    ).toBeLessThan(2e-6);
  });

  it.each([
    ["min_snr_5_epsilon", epsilon, 5, "current"],
    ["min_snr_1_epsilon", epsilon, 1, "current"],
    ["min_snr_5_v_prediction", v, 5, "current"],
    ["min_snr_1_v_prediction", v, 1, "current"],
    ["min_snr_5_v_prediction_older_script", v, 5, "older"],
  ] as const)("%s", async (name, schedule, gamma, rule) => {
    const weights = minSnrWeights(schedule, every, { gamma, rule });
    expect(relative(weights, await golden.readFloats(name))).toBeLessThan(2e-6);
  });

  it("noisy latents and v", async () => {
    const [latents, noise] = [await golden.readFloats("latents"), await golden.readFloats("noise")];
    const timesteps = await ints("timesteps");
    const noisy = addNoise(epsilon, latents, noise, timesteps);
    expect(distance(noisy, await golden.readFloats("noisy"))).toBeLessThan(2e-6);
    const velocity = trainingTarget(v, latents, noise, timesteps);
    expect(distance(velocity, await golden.readFloats("velocity"))).toBeLessThan(2e-6);
    expect(trainingTarget(epsilon, latents, noise, timesteps)).toEqual(noise);
  });
});

describe("draws equal PyTorch's", () => {
  it.each([0, 42, 1234])("noise, then timesteps, twice, from seed %i", async (seed) => {
    const generator = new Generator(seed);
    for (const step of ["step0", "step1"]) {
      const noise = drawNoise([3, 4, 6, 5], generator);
      expect(noise).toEqual(await golden.readFloats(`draw/${seed}/${step}/noise`));
      const timesteps = drawTimesteps(epsilon, 3, generator);
      expect([...timesteps]).toEqual(await ints(`draw/${seed}/${step}/timesteps`));
    }
    const alone = drawTimesteps(epsilon, 16, new Generator(seed));
    expect([...alone]).toEqual(await ints(`draw/${seed}/timesteps_alone`));
  });

  it("a bias draws the noisier half that many times as often, and within a half all alike", () => {
    const drawn = drawTimesteps(epsilon, 40_000, new Generator(3), { noisier: 3 });
    const quarters = [0, 0, 0, 0];
    for (const t of drawn) quarters[Math.floor(t / 250)]!++;
    for (const [i, share] of [1 / 8, 1 / 8, 3 / 8, 3 / 8].entries())
      expect(Math.abs(quarters[i]! / drawn.length - share)).toBeLessThan(0.01);
    expect(Math.min(...drawn)).toBe(0);
    expect(Math.max(...drawn)).toBe(999);
  });

  it("a noise offset shifts each channel of each sample by one number, drawn after the noise", () => {
    const [plain, drawn] = [new Generator(7), new Generator(7)];
    const noise = plain.normal(2 * 4 * 30);
    const shifts = plain.normal(8);
    const shifted = drawNoise([2, 4, 6, 5], drawn, { noiseOffset: 0.1 });
    for (const [i, x] of shifted.entries()) {
      expect(x).toBeCloseTo(noise[i]! + 0.1 * shifts[Math.floor(i / 30)]!, 6);
    }
    expect(drawn.state).toEqual(plain.state);
  });
});

describe("zero terminal SNR", () => {
  const rescaled = trainingNoise({ ...sdxl, rescale_betas_zero_snr: true, prediction_type: "v_prediction" });

  it("equals Diffusers' table", () => {
    type Row = {
      beta_schedule: string;
      rescale_betas_zero_snr: boolean;
      at: number[];
      alphas_cumprod: number[];
    };
    const { betas } = JSON.parse(readFileSync(`${data}schedulers.json`, "utf8")) as { betas: Row[] };
    const row = betas.find((r) => r.rescale_betas_zero_snr && r.beta_schedule === "scaled_linear")!;
    for (const [i, t] of row.at.entries()) {
      expect(Math.abs(rescaled.alphasCumprod[t]! - row.alphas_cumprod[i]!)).toBeLessThan(2e-6);
    }
  });

  it("can be asked for by the run, and makes the last timestep pure noise", () => {
    const asked = trainingNoise(sdxl, { rescaleBetasZeroSnr: true, target: "v_prediction" });
    expect(asked).toEqual(rescaled);
    expect(snr(asked, 999)).toBe(0);
    expect(addNoise(asked, Float32Array.of(5), Float32Array.of(2), [999])).toEqual(Float32Array.of(2));
    expect(minSnrWeights(asked, [999], { gamma: 5 })).toEqual(Float32Array.of(0));
    expect(minSnrWeights({ ...asked, target: "epsilon" }, [999], { gamma: 5 })).toEqual(Float32Array.of(1));
  });
});

describe("a scheduler that cannot be trained with is refused by its field", () => {
  it.each([
    ["prediction_type", { prediction_type: "sample" }],
    ["beta_schedule", { beta_schedule: "cosine" }],
    ["beta_end", { beta_end: "0.012" }],
  ])("%s", (field, edit) => {
    expect(() => trainingNoise({ ...sdxl, ...edit })).toThrow(new RegExp(`${field}: must be .*, got`));
  });
});

/** @file Schedulers are made from configs by class name; configs and calls that a class cannot do are refused. */

import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../../errors.js";
import * as library from "../../schedulers.js";
import { a1111Names, a1111Samplers } from "./a1111-names.js";
import { DDIMScheduler } from "./ddim.js";
import { DDPMScheduler } from "./ddpm.js";
import { EulerDiscreteScheduler } from "./euler.js";
import { EulerAncestralDiscreteScheduler } from "./euler-ancestral.js";
import { HeunDiscreteScheduler } from "./heun.js";
import { LCMScheduler } from "./lcm.js";
import { PNDMScheduler } from "./pndm.js";
import { schedulerFromConfig, schedulerNamed, schedulerNames } from "./registry.js";
import { shortNameOf } from "./sampler-names.js";

/** stabilityai/stable-diffusion-xl-base-1.0, scheduler/scheduler_config.json. */
const sdxl = {
  _class_name: "EulerDiscreteScheduler",
  _diffusers_version: "0.19.0.dev0",
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  clip_sample: false,
  interpolation_type: "linear",
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  sample_max_value: 1.0,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  timestep_spacing: "leading",
  trained_betas: null,
  use_karras_sigmas: false,
};

describe("a scheduler made from a config", () => {
  it("keeps every field of the file in camelCase, also those that its class does not have", () => {
    const { config } = schedulerFromConfig({ ...sdxl, my_key: [1] });
    expect(config).toMatchObject({
      clipSample: false,
      skipPrkSteps: true,
      myKey: [1],
      timestepSpacing: "leading",
    });
    expect(config).toMatchObject({ _className: "EulerDiscreteScheduler", finalSigmasType: "zero" });
  });

  it("gives another class the fields of the file, and leaves that class its own defaults", () => {
    const euler = EulerDiscreteScheduler.fromConfig(sdxl);
    expect(DDIMScheduler.fromConfig(euler.config).config).toMatchObject({
      clipSample: false,
      setAlphaToOne: false,
    });
    expect(PNDMScheduler.fromConfig(euler.config).config).toMatchObject({ skipPrkSteps: true });
    const plain = new DDIMScheduler();
    expect(plain.config).toMatchObject({ clipSample: true, betaSchedule: "linear" });
    expect(LCMScheduler.fromConfig(plain.config).config).toMatchObject({
      clipSample: false,
      betaSchedule: "scaled_linear",
    });
  });

  it("takes overrides in either spelling, and a class name in place of the file's", () => {
    const trailing = EulerDiscreteScheduler.fromConfig(sdxl, { timestepSpacing: "trailing" });
    trailing.setTimesteps(4);
    expect(trailing.timesteps).toEqual([999, 749, 499, 249]);
    const same = schedulerFromConfig(sdxl, { timestep_spacing: "trailing" }, "DDIMScheduler");
    expect(same.className).toBe("DDIMScheduler");
    expect(same.config).toMatchObject({ timestepSpacing: "trailing", _className: "DDIMScheduler" });
  });

  it("survives a round trip through another class", () => {
    const there = HeunDiscreteScheduler.fromConfig(EulerDiscreteScheduler.fromConfig(sdxl).config);
    const back = EulerDiscreteScheduler.fromConfig(there.config);
    expect(back.config).toMatchObject({
      stepsOffset: 1,
      timestepSpacing: "leading",
      betaSchedule: "scaled_linear",
    });
  });
});

describe("a config is refused by the field", () => {
  const cases: [string, Record<string, unknown>, RegExp][] = [
    [
      "an unknown value",
      { beta_schedule: "cosine" },
      /scheduler_config\.json: beta_schedule: must be one of .*"cosine"/,
    ],
    [
      "a wrong type",
      { num_train_timesteps: "1000" },
      /num_train_timesteps: must be an integer above 0, got "1000"/,
    ],
    ["a number that is NaN", { beta_end: Number.NaN }, /beta_end: must be a number/],
    [
      "two sigma schedules at once",
      { use_karras_sigmas: true, use_beta_sigmas: true },
      /use_karras_sigmas and use_beta_sigmas/,
    ],
    [
      "a beta schedule of another class",
      { beta_schedule: "sigmoid" },
      /beta_schedule: must be one of .* for EulerDiscreteScheduler, got "sigmoid"/,
    ],
    ["a missing class", { _class_name: undefined }, /_class_name: must be one of "EulerDiscreteScheduler"/],
    ["an unknown class", { _class_name: "EulerDiscretScheduler" }, /Did you mean "EulerDiscreteScheduler"\?/],
  ];

  it.each(cases)("for %s", (_, fields, message) => {
    expect(() => schedulerFromConfig({ ...sdxl, ...fields })).toThrow(InvalidRequest);
    expect(() => schedulerFromConfig({ ...sdxl, ...fields })).toThrow(message);
  });

  it("for a misspelt override, with the right spelling", () => {
    const misspelt = () => EulerDiscreteScheduler.fromConfig(sdxl, { timestepSpacng: "trailing" });
    expect(misspelt).toThrow(
      /timestepSpacng: is not a field of any scheduler\. Did you mean "timestepSpacing"\?/,
    );
  });

  it("for what a class cannot do: a second solver in UniPC, learned variances in DPM-Solver, sigma 0 without ++", () => {
    expect(() => schedulerFromConfig(sdxl, { solver_p: {} }, "UniPCMultistepScheduler")).toThrow(/solver_p/);
    const dpm = (fields: object) => () =>
      schedulerFromConfig(sdxl, { ...fields }, "DPMSolverMultistepScheduler");
    expect(dpm({ variance_type: "learned" })).toThrow(/variance_type/);
    expect(dpm({ algorithm_type: "dpmsolver" })).toThrow(/final_sigmas_type: must be "sigma_min"/);
  });
});

describe("a call is refused", () => {
  const euler = () => EulerDiscreteScheduler.fromConfig(sdxl);

  it("for a number of steps that is not an integer above 0", () => {
    for (const name of schedulerNames) {
      const scheduler = schedulerFromConfig(sdxl, {}, name);
      for (const n of [0, -1, 2.5, Number.NaN, undefined]) {
        expect(() => scheduler.setTimesteps(n), `${name} ${n}`).toThrow(InvalidRequest);
      }
    }
  });

  it("for options that the class does not have, or that exclude each other", () => {
    expect(() => new DDIMScheduler().setTimesteps(undefined, { timesteps: [999] })).toThrow(
      /timesteps: is not an option/,
    );
    expect(() => euler().setTimesteps(4, { strength: 0.5 })).toThrow(/strength/);
    expect(() => euler().setTimesteps(4, { sigmas: [1, 0] })).toThrow(/must be given alone/);
  });

  it("for a timestep that is not of the schedule, and for a step after the last", () => {
    const scheduler = euler();
    scheduler.setTimesteps(1);
    const x = Float32Array.of(1);
    expect(() => scheduler.step(x, 500, x)).toThrow(/timestep: must be one of scheduler\.timesteps, got 500/);
    scheduler.step(x, scheduler.timesteps[0]!, x);
    expect(() => scheduler.step(x, scheduler.timesteps[0]!, x)).toThrow(/Call setTimesteps first/);
  });

  it("for noise without a generator, and for an output of another size than the sample", () => {
    const scheduler = EulerAncestralDiscreteScheduler.fromConfig(sdxl);
    scheduler.setTimesteps(2);
    const x = Float32Array.of(1, 2);
    expect(() => scheduler.step(x, scheduler.timesteps[0]!, x)).toThrow(/generator: must be given/);
    expect(() => scheduler.step(x.subarray(1), scheduler.timesteps[0]!, x)).toThrow(/modelOutput/);
  });

  it("for a step before setTimesteps, where the stride is not known yet", () => {
    const x = Float32Array.of(1);
    expect(() => new DDIMScheduler().step(x, 999, x)).toThrow(/Call setTimesteps/);
  });

  it("for a learned variance that the network's output does not hold", () => {
    const scheduler = DDPMScheduler.fromConfig(sdxl, { varianceType: "learned_range" });
    scheduler.setTimesteps(2);
    const x = Float32Array.of(1);
    expect(() => scheduler.step(x, 501, x)).toThrow(/must have two values for each/);
  });
});

describe("a step that has no value is refused", () => {
  it("for UniPC above first order to sigma 0", () => {
    const scheduler = schedulerFromConfig(sdxl, { lowerOrderFinal: false }, "UniPCMultistepScheduler");
    scheduler.setTimesteps(2);
    const x = Float32Array.of(1);
    const [first, last] = scheduler.timesteps;
    scheduler.step(x, first!, x);
    expect(() => scheduler.step(x, last!, x)).toThrow(/lower_order_final: must be true/);
  });
});

describe("UniPC's flow sigmas are Diffusers 0.42.1's", () => {
  it.each([
    [{ flow_shift: 1 }, [999, 750, 500, 250], [0.999999, 0.75025, 0.5005, 0.25075, 0]],
    [{ flow_shift: 3 }, [999, 900, 750, 500], [0.999999, 0.90012, 0.7503748, 0.500999, 0]],
    [{ use_karras_sigmas: true }, [935, 760, 308, 28], [0.9359576, 0.7601119, 0.3088772, 0.0283409, 0]],
  ])("with %j", (overrides, timesteps, sigmas) => {
    const flow = { use_flow_sigmas: true, prediction_type: "flow_prediction", ...overrides };
    const betas = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" };
    const scheduler = schedulerFromConfig(betas, flow, "UniPCMultistepScheduler");
    scheduler.setTimesteps(4);
    expect(scheduler.timesteps).toEqual(timesteps);
    for (const [i, sigma] of sigmas.entries()) expect(scheduler.sigmas![i]).toBeCloseTo(sigma, 6);
  });
});

describe("image-to-image", () => {
  it("begins at the index of setBeginIndex, and addNoise adds noise of that timestep", () => {
    const scheduler = EulerDiscreteScheduler.fromConfig(sdxl);
    scheduler.setTimesteps(10);
    scheduler.setBeginIndex(6);
    const noised = scheduler.addNoise(Float32Array.of(0), Float32Array.of(1), scheduler.timesteps[6]!);
    expect(noised[0]).toBe(scheduler.sigmas![6]!);
    const zero = Float32Array.of(0);
    expect(scheduler.step(zero, scheduler.timesteps[6]!, noised).prevSample).toEqual(noised);
    expect(() => scheduler.setBeginIndex(10)).toThrow(/beginIndex: must be an integer from 0 to 9/);
  });
});

describe("the registry", () => {
  it("is all that src/schedulers.ts exports of schedulers", () => {
    const exported = Object.keys(library).filter((name) => name.endsWith("Scheduler"));
    expect(exported.sort()).toEqual([...schedulerNames].sort());
  });

  it.each(schedulerNames)("makes %s, which has a short name and a name for A1111's clients", (name) => {
    const { className, config } = schedulerFromConfig(sdxl, {}, name);
    expect(className).toBe(name);
    expect(shortNameOf(name, config)).toBeDefined();
    expect(a1111Samplers).toContain(a1111Names({ className, config }).sampler);
  });

  it("finds a scheduler by short name and by class name, and suggests the nearest name", () => {
    expect(schedulerNamed("dpmpp-2m-karras")).toEqual({
      className: "DPMSolverMultistepScheduler",
      overrides: { use_karras_sigmas: true },
    });
    expect(schedulerNamed("DDIMScheduler")).toEqual({ className: "DDIMScheduler", overrides: {} });
    expect(() => schedulerNamed("dpm++-2m")).toThrow(/^scheduler: must be one of "euler", .*"dpmpp-2m"\?$/);
  });
});

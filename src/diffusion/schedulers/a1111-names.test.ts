/** @file Other programs' names of samplers and schedules, against the lists in those programs. */

import { describe, expect, it } from "vitest";
import { a1111Names, a1111Samplers, a1111Schedule, a1111Scheduler, isKnownSchedule } from "./a1111-names.js";
import { schedulerFromConfig, schedulerNamed } from "./registry.js";

/** The scheduler of a name, without its label. */
const choiceOf = (sampler: string, schedule?: string) => {
  const { label: _, ...choice } = a1111Scheduler(sampler, schedule) ?? { label: "" };
  return choice;
};

describe("a sampler of another program is A1111's", () => {
  // KSAMPLER_NAMES of ComfyUI, SCHEDULER_MAP of InvokeAI, aliases of A1111's k-diffusion samplers (which NovelAI and
  // InvokeAI 2 write), sample_method_str of stable-diffusion.cpp, Draw Things' list, our short names.
  it.each([
    ["Euler", "euler", "k_euler"],
    [
      "Euler a",
      "euler_ancestral",
      "euler_a",
      "k_euler_ancestral",
      "k_euler_a",
      "Euler A",
      "Euler Ancestral",
      "euler-a",
    ],
    ["Heun", "heun", "k_heun"],
    ["DPM2", "dpm_2", "k_dpm_2", "kdpm_2", "dpm2"],
    ["DPM2 a", "dpm_2_ancestral", "k_dpm_2_a", "kdpm_2_a", "dpm2-a"],
    ["DPM++ 2M", "dpmpp_2m", "k_dpmpp_2m", "dpm++2m", "dpmpp-2m"],
    ["DPM++ 2M SDE", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "k_dpmpp_2m_sde"],
    ["DPM++ 2S", "dpmpp_2s"],
    ["UniPC", "uni_pc", "uni_pc_bh2", "unipc"],
    ["LMS", "lms", "k_lms"],
    ["PLMS", "plms", "pndm"],
    ["DDIM", "ddim"],
    ["DDPM", "ddpm"],
    ["DEIS", "deis"],
    ["LCM", "lcm"],
    ["TCD", "tcd"],
  ])("%s", (label, ...names) => {
    expect(a1111Samplers).toContain(label);
    for (const name of names) expect(a1111Scheduler(name), name).toEqual(a1111Scheduler(label));
  });

  it.each([
    "dpmpp_sde",
    "DPM++ 2S a",
    "dpmpp_2s_ancestral",
    "euler_cfg_pp",
    "ddim_v3",
    "dpm++2mv2",
    "Euler A AYS",
    "heunpp2",
    "constructor",
    "",
  ])("but not %j, which does something else", (name) => {
    expect(a1111Scheduler(name)).toBeUndefined();
  });
});

describe("a schedule", () => {
  it.each([
    ["dpmpp_2m_k", "dpmpp_2m", "karras"], // InvokeAI
    ["dpm++2m karras", "dpm++2m", "karras"], // stable-diffusion.cpp
    ["DPM++ 2M Karras", "DPM++ 2M", "Karras"],
    ["DDIM Trailing", "DDIM", "SGM Uniform"], // Draw Things
    ["ddim_trailing", "DDIM", "sgm_uniform"],
    ["dpmpp-2m-karras", "DPM++ 2M", "Karras"],
  ])("at the end of %s is that of %s and %s", (whole, sampler, schedule) => {
    expect(a1111Scheduler(whole)).toEqual(a1111Scheduler(sampler, schedule));
    expect(a1111Scheduler(sampler)).not.toEqual(a1111Scheduler(sampler, schedule));
  });

  it("is unknown, or leaves the choice to the model", () => {
    for (const name of ["kl_optimal", "polyexponential", "align_your_steps", "AYS", "turbo", "toString"])
      expect(isKnownSchedule(name), name).toBe(false);
    for (const name of ["native", "default"]) {
      expect(isKnownSchedule(name)).toBe(true);
      expect(a1111Scheduler("DPM++ 2M", name)).toEqual(a1111Scheduler("DPM++ 2M"));
    }
  });

  // simple_scheduler, normal_scheduler and ddim_scheduler of comfy/samplers.py for 1000 noise levels and 10 steps.
  it.each([
    ["simple", [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]],
    ["normal", [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]],
    ["ddim_uniform", [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]],
  ])("%s of ComfyUI has its timesteps", (name, timesteps) => {
    const { className, overrides } = a1111Scheduler("euler", name)!;
    const scheduler = schedulerFromConfig({}, overrides, className);
    scheduler.setTimesteps(10);
    expect([...scheduler.timesteps]).toEqual(timesteps);
  });

  it("can be combined with every sampler", () => {
    for (const sampler of a1111Samplers)
      for (const schedule of [
        "karras",
        "exponential",
        "beta",
        "sgm_uniform",
        "simple",
        "normal",
        "ddim_uniform",
      ]) {
        const { className, overrides } = a1111Scheduler(sampler, schedule)!;
        expect(
          () => schedulerFromConfig({}, overrides, className).setTimesteps(4),
          `${sampler} ${schedule}`,
        ).not.toThrow();
      }
  });
});

describe("a name in A1111", () => {
  it.each([
    // Aliases of A1111's modules/sd_samplers_kdiffusion.py, old and new.
    ["k_euler_a", "euler-a"],
    ["k_euler_ancestral", "euler-a"],
    ["euler_a", "euler-a"],
    ["EULER A", "euler-a"],
    ["k_euler", "euler"],
    ["k_lms", "lms"],
    ["k_heun", "heun"],
    ["k_dpm_2", "dpm2"],
    ["k_dpm_2_a", "dpm2-a"],
    ["k_dpmpp_2m", "dpmpp-2m"],
    ["k_dpmpp_2m_ka", "dpmpp-2m-karras"],
    ["k_dpmpp_2m_sde_ka", "dpmpp-2m-sde-karras"],
    ["DPM++ 2M SDE Karras", "dpmpp-2m-sde-karras"],
    ["dpm++ 2m", "dpmpp-2m"],
    ["unipc", "unipc"],
    ["plms", "pndm"],
  ])("%s is our %s", (sampler, name) => expect(choiceOf(sampler)).toEqual(schedulerNamed(name)));

  it.each([
    "DPM++ SDE",
    "DPM++ 2S a",
    "DPM++ 3M SDE",
    "DPM fast",
    "DPM adaptive",
    "Restart",
    "Euler A Turbo",
    "",
  ])("%s is not one of them", (sampler) => expect(a1111Scheduler(sampler)).toBeUndefined());

  it("takes a schedule from the sampler's name, in all its spellings, before the field's", () => {
    for (const name of ["DPM++ 2M SGM Uniform", "DPM++ 2M SGMUniform", "dpmpp_2m_sgm_uniform"])
      expect(a1111Scheduler(name, "Karras")).toEqual(a1111Scheduler("DPM++ 2M", "sgm_uniform"));
    expect(a1111Schedule("align_your_steps")).toBeUndefined();
  });

  it('gives each sampler its own schedule for "Automatic", as A1111 since 1.9, and none where no schedule is given', () => {
    expect(choiceOf("DPM++ 2M", "Automatic")).toEqual(schedulerNamed("dpmpp-2m-karras"));
    expect(a1111Scheduler("DPM++ 2M SDE", "automatic")?.label).toBe("DPM++ 2M SDE Exponential");
    expect(choiceOf("Euler", "Automatic")).toEqual(schedulerNamed("euler"));
    expect(choiceOf("DPM++ 2M")).toEqual(schedulerNamed("dpmpp-2m"));
  });

  it("gives a scheduler the name that it is found by", () => {
    const heun = a1111Scheduler("DPM++ 2M SDE Heun", "Karras")!;
    const made = schedulerFromConfig({}, heun.overrides, heun.className);
    expect(a1111Names(made)).toEqual({ sampler: "DPM++ 2M SDE Heun", schedule: "Karras" });
  });
});

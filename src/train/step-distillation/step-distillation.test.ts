/** @file What a step distillation takes from its settings and its teacher, what it draws, and what the schedule rules out. */

import { describe, expect, it } from "vitest";
import { trainingNoise } from "../noise.js";
import { type TrainingRequest, trainingOptions } from "../options.js";
import { samplingOf } from "./sampling.js";
import { drawSteps, stepDistillation } from "./step-distillation.js";

const config = { beta_schedule: "scaled_linear", beta_start: 0.00085, beta_end: 0.012 };
const epsilon = trainingNoise(config);
const zeroSnr = { rescaleBetasZeroSnr: true } as const;
const of = (request: TrainingRequest, noise = epsilon, guidanceScale = 7.5) =>
  stepDistillation(trainingOptions(request), noise, { guidanceScale, unconditional: "zeros" });

describe("a step distillation", () => {
  it("is none without one among the settings", () => {
    expect(of({})).toBeUndefined();
    expect(samplingOf(trainingOptions(), {})).toBeUndefined();
  });

  it("follows the teacher's guidance scale, its own, or none", () => {
    const stage = (guidanceScale?: number) => ({
      trajectory: { steps: 4, ...(guidanceScale !== undefined && { guidanceScale }) },
    });
    expect(of(stage())!.w).toEqual([6.5, 6.5]);
    expect(of(stage(3))!.w).toEqual([2, 2]);
    expect(of(stage(), epsilon, 0)!.w).toEqual([0, 0]);
    expect(of({ consistency: { wMin: 2 } })!.w).toEqual([2, 15]);
  });

  it("has a target network of its own where its decay is above 0", () => {
    expect(of({ consistency: {} })).toMatchObject({
      hasTarget: true,
      targetDecay: 0.95,
      solver: { huberC: 1e-3 },
    });
    const self = of({ consistency: { emaDecay: 0, lossType: "l2" } })!;
    expect([self.hasTarget, self.targetDecay, self.solver.huberC]).toEqual([true, undefined, undefined]);
    expect(of({ trajectory: { steps: 4 } })).toMatchObject({ hasTarget: false, targetDecay: undefined });
  });

  it("draws w within its range, by seed, batch and image alone", () => {
    const steps = of({ consistency: {} })!;
    const drawn = (batch: number) => drawSteps(steps, [19, 999, 39], { seed: 5, batch });
    const { paths, w } = drawn(2);
    expect(paths).toEqual([
      [19, 0],
      [999, 979],
      [39, 19],
    ]);
    expect(new Set(w).size).toBe(3);
    for (const x of w) expect(x >= 3 && x < 15).toBe(true);
    expect(drawn(2).w).toEqual(w);
    expect(drawn(3).w).not.toEqual(w);
  });

  it.each<[string, TrainingRequest, ReturnType<typeof trainingNoise>, string]>([
    [
      "the noise that leads on from pure noise",
      { trajectory: { steps: 4, lossType: "eps" } },
      trainingNoise(config, { target: "v_prediction", ...zeroSnr }),
      'trajectory.lossType: must be "x_end" where the schedule ends in pure noise',
    ],
    [
      "an epsilon-network on pure noise",
      { consistency: {} },
      trainingNoise(config, zeroSnr),
      "consistency: must have a model that predicts v where the schedule ends in pure noise",
    ],
    [
      "more timesteps than there are",
      { trajectory: { steps: 600 } },
      epsilon,
      "trajectory.steps: must take at most the 1000 timesteps that the teacher was trained on, got 1200.",
    ],
  ])("refuses %s", (_, request, noise, message) => {
    expect(() => of(request, noise)).toThrow(message);
  });
});

describe("the model's guidance scale by default", () => {
  const guidance = (consistency: NonNullable<TrainingRequest["consistency"]>) =>
    samplingOf(trainingOptions({ consistency }), {})!.defaults.guidance;

  it("is none, and with w as an input the recommended one within the range it was trained on", () => {
    expect(guidance({})).toBe(0);
    expect(guidance({ timeCondProjDim: 256 })).toBe(8);
    expect(guidance({ timeCondProjDim: 256, wMin: 1, wMax: 3 })).toBe(4);
  });
});

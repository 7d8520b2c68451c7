/** @file Settings of a training run: defaults, and what is said about mistakes. */

import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../errors.js";
import { trainingOptions } from "./options.js";

describe("training options", () => {
  it("are by default the paper's: KOALA's features, 1 : 1 : 1, AdamW at a constant 1e-5", () => {
    expect(trainingOptions()).toMatchObject({
      feature: "koala",
      initialLayers: "bottom",
      loss: { task: 1, out: 1, feat: 1 },
      learningRate: 1e-5,
      lrScheduler: "constant",
      adamWeightDecay: 0.01,
      maxGradNorm: 1,
      ema: null,
    });
  });

  it("of a step distillation are its error alone, unless the other terms are given", () => {
    const { loss, consistency } = trainingOptions({ consistency: {} });
    expect(loss).toEqual({ task: 0, out: 0, feat: 0, solver: 1 });
    expect(consistency).toEqual({
      ...{ numDdimTimesteps: 50, wMin: 3, wMax: 15, timeCondProjDim: null, lossType: "huber", huberC: 1e-3 },
      ...{ emaDecay: 0.95, timestepScaling: 10 },
    });
    const both = trainingOptions({ trajectory: { steps: 4 }, loss: { feat: 0.1 } });
    expect(both.loss).toEqual({ task: 0, out: 0, feat: 0.1, solver: 1 });
    expect(both.trajectory).toEqual({ steps: 4, teacherSteps: 2, guidanceScale: null, lossType: "x_end" });
    expect(trainingOptions(JSON.parse(JSON.stringify(both)))).toEqual(both);
  });

  it("survive JSON, as a checkpoint keeps them", () => {
    const options = trainingOptions({ ema: {}, snrGamma: 5, maxGradNorm: null, loss: { out: 0 } });
    expect(trainingOptions(JSON.parse(JSON.stringify(options)))).toEqual(options);
    expect(options.ema?.decay).toBe(0.9999);
    expect(options.loss).toEqual({ task: 1, out: 0, feat: 1 });
  });

  it.each([
    ["resolution", { resolution: 500 }, "resolution: must be a multiple of 8, got 500."],
    [
      "an unknown name",
      { learningrate: 1 },
      'learningrate: is not a setting of training. Did you mean "learningRate"?',
    ],
    [
      "a name inside ema",
      { ema: { decai: 1 } },
      'ema.decai: is not a setting of training. Did you mean "decay"?',
    ],
    ["a type", { trainBatchSize: "8" }, 'trainBatchSize: must be a whole number above 0, got "8".'],
    ["a feature", { feature: "attn" }, /^feature: must be one of "koala", .*, got "attn"\.$/],
    ["no term", { loss: { task: 0, out: 0 }, feature: "none" }, /^loss: must leave something to learn from/],
    [
      "a long warm-up",
      { lrScheduler: "cosine", lrWarmupSteps: 9, maxTrainSteps: 9 },
      /^lrWarmupSteps: must be fewer/,
    ],
    ["a warm-up that does nothing", { lrWarmupSteps: 9 }, /^lrWarmupSteps: must be 0 .*constant_with_warmup/],
    [
      "epsilon without signal",
      { rescaleBetasZeroSnr: true, predictionType: "epsilon" },
      /^rescaleBetasZeroSnr/,
    ],
    ["validation without prompts", { validationSteps: 5 }, /^validationPrompts: must hold a prompt/],
    ["a device", { device: "gpu" }, /^device: must be auto, cpu, .*Did you mean "auto"\?$/],
    [
      "shares on a device",
      { device: "cuda", dataParallel: 2, trainBatchSize: 4 },
      /^dataParallel: must be 1 with/,
    ],
    ["a negative factor", { loss: { out: -1 } }, "loss.out: must be a number of at least 0, got -1."],
    [
      "two step distillations",
      { consistency: {}, trajectory: { steps: 4 } },
      /^trajectory: must be left out with consistency/,
    ],
    ["a trajectory without steps", { trajectory: {} }, /^trajectory.steps: must be a whole number/],
    [
      "one step of the teacher",
      { trajectory: { steps: 4, teacherSteps: 1 } },
      /^trajectory.teacherSteps: must/,
    ],
    [
      "an odd width of w",
      { consistency: { timeCondProjDim: 255 } },
      /^consistency.timeCondProjDim: must be even/,
    ],
    [
      "a solver loss without a solver",
      { loss: { solver: 1 } },
      /^loss.solver: must be 0 without consistency/,
    ],
    [
      "no solver loss with one",
      { consistency: {}, loss: { solver: 0, feat: 1 } },
      /^loss.solver: must be above 0/,
    ],
    ["timesteps of two kinds", { consistency: {}, samplingSteps: 4 }, /^samplingSteps: has no effect with/],
    [
      "a bias of few timesteps",
      { samplingSteps: 4, timestepBias: 2 },
      /^timestepBias: must be 1 with samplingSteps/,
    ],
    ["weights of no task loss", { consistency: {}, snrGamma: 5 }, /^snrGamma: has no effect where the task/],
    ["no object", 5, /^options: must be an object/],
  ])("are refused by name: %s", (_, request, message) => {
    expect(() => trainingOptions(request)).toThrow(InvalidRequest);
    expect(() => trainingOptions(request)).toThrow(message);
  });
});

/** @file The paths of the two step distillations, and the noise that leads to a sample in one step. */

import { describe, expect, it } from "vitest";
import { Generator } from "../../diffusion/random.js";
import { trainingNoise } from "../noise.js";
import { applied, ddimStep } from "./linear.js";
import { consistencyMethod, trajectoryMethod, trajectoryPaths } from "./method.js";

const config = { beta_schedule: "scaled_linear", beta_start: 0.00085, beta_end: 0.012 };
const noise = trainingNoise(config);

describe("paths", () => {
  it("of consistency distillation skip 20 timesteps, and the first one 19", () => {
    const { paths } = consistencyMethod(noise, { numDdimTimesteps: 50, timestepScaling: 10 });
    expect(paths).toHaveLength(50);
    expect(paths.slice(0, 2)).toEqual([
      [19, 0],
      [39, 19],
    ]);
    expect(paths.at(-1)).toEqual([999, 979]);
  });

  it("of a stage begin where trailing timesteps do, and the last ends in the clean sample", () => {
    expect(trajectoryPaths(1000, 4, 2)).toEqual([
      [999, 874, 749],
      [749, 624, 499],
      [499, 374, 249],
      [249, 124, -1],
    ]);
    expect(trajectoryPaths(1000, 1, 4)).toEqual([[999, 749, 499, 249, -1]]);
  });

  it.each([
    [1000, 32, 2],
    [1000, 7, 3],
    [777, 13, 2],
  ])(
    "join from step to step where %i timesteps do not divide by %i times %i",
    (timesteps, steps, teacherSteps) => {
      const paths = trajectoryPaths(timesteps, steps, teacherSteps);
      expect(paths).toHaveLength(steps);
      for (const [i, path] of paths.entries()) {
        expect(path).toHaveLength(teacherSteps + 1);
        expect(path.at(-1)).toBe(paths[i + 1]?.[0] ?? -1);
        expect([...path].sort((a, b) => b - a)).toEqual(path);
      }
    },
  );
});

it("the noise that a trajectory's end asks for leads there in one DDIM step", async () => {
  const [sample, end] = [new Generator(1).normal(12), new Generator(2).normal(12)];
  const method = trajectoryMethod(noise, { steps: 4, teacherSteps: 2, lossType: "eps" });
  const path = method.paths[1]!;
  const target = await method.target([path], { sample, reached: end }, () =>
    Promise.reject(new Error("no target")),
  );
  const led = applied([ddimStep(noise, 749, 499)], sample, target);
  for (const [i, x] of led.entries()) expect(x).toBeCloseTo(end[i]!, 5);
});

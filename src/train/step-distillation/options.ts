/** @file The settings of the two step distillations: types, defaults and checks. */

import { z } from "zod";
import { InvalidRequest, listed } from "../../errors.js";

export const consistencyLosses = ["huber", "l2"] as const;
export type ConsistencyLoss = (typeof consistencyLosses)[number];
export const trajectoryLosses = ["x_end", "eps"] as const;
export type TrajectoryLoss = (typeof trajectoryLosses)[number];

/**
 * Consistency distillation (Luo et al. 2023, arXiv 2310.04378). Names as in Diffusers'
 * `train_lcm_distill_sdxl_wds.py`, in camelCase.
 */
export type ConsistencyRequest = {
  /** Timesteps that the teacher's solver visits; a step skips 1000 / this many. 1 to the teacher's timesteps. Default 50. */
  numDdimTimesteps?: number;
  /** Least w drawn, the guidance scale less 1; as `wMax` for a fixed one. 0 or above. Default 3. */
  wMin?: number;
  /** Largest w drawn, `wMin` or above. Default 15. */
  wMax?: number;
  /**
   * Width of the embedding of w as an input of the student, even and at least 4; 256 is usual. Default null: none, and the
   * student learns a mean over the scales drawn.
   */
  timeCondProjDim?: number | null;
  /** Pseudo-Huber or mean squared error. Default "huber". */
  lossType?: ConsistencyLoss;
  /** Where "huber" goes from squared to linear, above 0. Default 0.001. */
  huberC?: number;
  /** Decay of the target network, 0 or above and below 1; with 0 the target is the student itself. Default 0.95. */
  emaDecay?: number;
  /** Factor of the timesteps in the boundary scalings, above 0. Default 10. */
  timestepScaling?: number;
};
export type ConsistencyOptions = Required<ConsistencyRequest>;

/**
 * Distillation of trajectories, one stage of it (Salimans and Ho 2022, "Progressive Distillation"; SDXL-Lightning, arXiv
 * 2402.13929, without its adversarial loss).
 */
export type TrajectoryRequest = {
  /** Steps in which the student is to generate an image, a whole number above 0. */
  steps: number;
  /** DDIM steps of the teacher that one of the student replaces, a whole number of at least 2. Default 2. */
  teacherSteps?: number;
  /** The teacher's guidance scale, 1 or above; 1 is none. Default null: the one it generates images with by default. */
  guidanceScale?: number | null;
  /** Compares samples at the end of a step, or the noise that leads there. Default "x_end". */
  lossType?: TrajectoryLoss;
};
export type TrajectoryOptions = Required<TrajectoryRequest>;

const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, `must be one of ${listed([...values])}`);
const atLeast = (least: number) =>
  z
    .int(`must be a whole number of at least ${least}`)
    .min(least, `must be a whole number of at least ${least}`);
const number = z.number("must be a number of at least 0").nonnegative("must be a number of at least 0");
const above = z.number("must be a number above 0").positive("must be a number above 0");

export const consistencySchema = z.strictObject({
  numDdimTimesteps: atLeast(1).default(50),
  wMin: number.default(3),
  wMax: number.default(15),
  timeCondProjDim: atLeast(4).multipleOf(2, "must be even").nullable().default(null),
  lossType: oneOf(consistencyLosses).default("huber"),
  huberC: above.default(1e-3),
  emaDecay: number.lt(1, "must be a number of at least 0, below 1").default(0.95),
  timestepScaling: above.default(10),
} satisfies Record<keyof ConsistencyOptions, z.ZodType>);

export const trajectorySchema = z.strictObject({
  steps: atLeast(1),
  teacherSteps: atLeast(2).default(2),
  guidanceScale: z
    .number("must be a number of at least 1")
    .min(1, "must be a number of at least 1")
    .nullable()
    .default(null),
  lossType: oneOf(trajectoryLosses).default("x_end"),
} satisfies Record<keyof TrajectoryOptions, z.ZodType>);

/** Throws InvalidRequest for settings that contradict each other. */
export function checkConsistency({ wMin, wMax }: ConsistencyOptions): void {
  if (wMin <= wMax) return;
  throw new InvalidRequest("consistency.wMax", wMax, `must be at least the least w (${wMin}), got ${wMax}.`);
}

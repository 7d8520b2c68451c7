/** @file Learning rate schedules, as Diffusers' `get_scheduler` computes them. */

export const lrSchedules = [
  "constant",
  "constant_with_warmup",
  "linear",
  "cosine",
  "cosine_with_restarts",
  "polynomial",
] as const;
export type LrSchedule = (typeof lrSchedules)[number];

export type LrScheduleOptions = {
  schedule?: LrSchedule;
  /** The highest rate. */
  learningRate: number;
  /** Updates over which the rate rises from 0, which is the first update's. `constant` has none. */
  warmupSteps?: number;
  /** Updates of the whole run, warm-up included; `constant*` do not need it. */
  totalSteps?: number;
  /** Of `cosine_with_restarts`. */
  cycles?: number;
};

/** Where `polynomial` ends, and its power: Diffusers' defaults. */
const [polynomialEnd, polynomialPower] = [1e-7, 1];

/**
 * The learning rate of update `update`, counted from 0. Beyond the end `cosine` rises again, as Diffusers'
 * does.
 */
export function learningRate(update: number, options: LrScheduleOptions): number {
  const { schedule = "constant", learningRate: top, warmupSteps = 0, totalSteps, cycles = 1 } = options;
  if (schedule === "constant") return top;
  if (update < warmupSteps) return top * (update / Math.max(1, warmupSteps));
  if (schedule === "constant_with_warmup") return top;
  if (totalSteps === undefined) throw new Error(`internal: the schedule "${schedule}" needs totalSteps`);
  const length = Math.max(1, totalSteps - warmupSteps);
  const progress = (update - warmupSteps) / length;
  switch (schedule) {
    case "linear":
      return top * Math.max(0, (totalSteps - update) / length);
    case "cosine":
      return top * Math.max(0, (1 + Math.cos(Math.PI * progress)) / 2);
    case "cosine_with_restarts":
      return progress >= 1 ? 0 : top * Math.max(0, (1 + Math.cos(Math.PI * ((cycles * progress) % 1))) / 2);
    case "polynomial":
      if (update > totalSteps) return polynomialEnd;
      return (top - polynomialEnd) * (1 - progress) ** polynomialPower + polynomialEnd;
  }
  return schedule satisfies never;
}

/** @file The base class of the multistep and singlestep DPM-Solvers: config, and the value that they integrate. */

import { InvalidRequest } from "../../errors.js";
import { noiseOf, predictNoise } from "../prediction.js";
import type { SchedulerFields, SchedulerKind } from "./config.js";
import type { SchedulerSettings } from "./config-fields.js";
import type { Algorithm } from "./dpm-solver.js";
import { LambdaScheduler, solverDefaults } from "./lambda-scheduler.js";

export const dpmDefaults = {
  ...solverDefaults,
  algorithmType: "dpmsolver++",
  solverType: "midpoint",
  lowerOrderFinal: true,
  finalSigmasType: "zero",
  lambdaMinClipped: Number.NEGATIVE_INFINITY,
  varianceType: null,
} as const satisfies Partial<SchedulerSettings>;

/** The algorithm of DEIS and the solver types of DEIS and UniPC are replaced by this family's defaults. */
export function dpmKind(
  className: string,
  defaults: Partial<SchedulerSettings>,
  algorithms: readonly Algorithm[],
): SchedulerKind {
  const adapt = ({
    algorithmType,
    solverType,
    finalSigmasType,
    varianceType,
  }: SchedulerSettings): Partial<SchedulerSettings> => {
    if (algorithmType !== "deis" && !algorithms.includes(algorithmType)) {
      const rule = `must be one of ${algorithms.join(", ")} for ${className}, got "${algorithmType}".`;
      throw new InvalidRequest("algorithm_type", algorithmType, rule);
    }
    if (!algorithmType.endsWith("++") && finalSigmasType === "zero") {
      const rule = `must be "sigma_min" with algorithm_type "${algorithmType}", got "zero".`;
      throw new InvalidRequest("final_sigmas_type", finalSigmasType, rule);
    }
    if (varianceType === "learned" || varianceType === "learned_range") {
      const rule = `"${varianceType}" is for three-channel pixel models, which are not supported.`;
      throw new InvalidRequest("variance_type", varianceType, rule);
    }
    return {
      ...(algorithmType === "deis" && { algorithmType: "dpmsolver++" as const }),
      ...(solverType !== "midpoint" && solverType !== "heun" && { solverType: "midpoint" as const }),
    };
  };
  return { className, defaults, adapt };
}

export abstract class DpmScheduler extends LambdaScheduler {
  protected readonly algorithm: Algorithm;

  constructor(kind: SchedulerKind, source: SchedulerFields, overrides: SchedulerFields) {
    super(kind, source, overrides);
    const { algorithmType } = this.settings;
    this.algorithm = algorithmType === "deis" ? "dpmsolver++" : algorithmType;
  }

  /** The clean sample, and the value that the algorithm integrates: the clean sample ("++") or the noise. */
  protected modelValue(
    index: number,
    output: Float32Array,
    sample: Float32Array,
    batch: number | undefined,
  ): { clean: Float32Array; value: Float32Array } {
    const usual = ["epsilon", "v_prediction", "sample"] as const;
    if (this.algorithm.endsWith("++")) {
      const type = this.predictionType(...usual, "flow_prediction");
      const clean = this.predictCleanAt(index, type, output, sample, batch);
      return { clean, value: clean };
    }
    const type = this.predictionType(...usual);
    const clean = this.predictCleanAt(index, type, output, sample, batch);
    const level = this.levelAt(index);
    const { thresholding } = this.settings;
    return {
      clean,
      value: thresholding ? noiseOf(clean, sample, level) : predictNoise(type, output, sample, level),
    };
  }
}

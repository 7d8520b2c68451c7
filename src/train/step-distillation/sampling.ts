/** @file How a step-distilled model is to be sampled: its scheduler's config, and the steps and guidance that it needs. */

import type { JsonObject } from "../../files/json.js";
import type { ModelDefaults } from "../../pipeline/model-defaults.js";
import type { NoiseFields } from "../noise.js";
import type { TrainingOptions } from "../options.js";

export type Sampling = {
  /** The whole `scheduler_config.json`, with `_class_name`. */
  scheduler: JsonObject;
  defaults: Required<Pick<ModelDefaults, "steps" | "guidance">>;
};

/** Steps that consistency models are usually sampled in. */
const consistencySteps = 4;
/** The guidance scale that LCM's own pipelines recommend, where the student takes it as an input. */
const recommendedGuidance = 8;

/** Undefined without a step distillation. noise: the fields that decide the noise the student was trained on. */
export function samplingOf(
  { consistency, trajectory }: Pick<TrainingOptions, "consistency" | "trajectory">,
  noise: NoiseFields,
): Sampling | undefined {
  if (consistency) {
    const { numDdimTimesteps, timestepScaling, timeCondProjDim, wMin, wMax } = consistency;
    const embedded = Math.min(Math.max(recommendedGuidance, wMin + 1), wMax + 1);
    return {
      scheduler: {
        _class_name: "LCMScheduler",
        ...noise,
        original_inference_steps: numDdimTimesteps,
        timestep_scaling: timestepScaling,
        timestep_spacing: "leading",
        clip_sample: false,
        set_alpha_to_one: true,
        steps_offset: 0,
      },
      defaults: {
        steps: Math.min(consistencySteps, numDdimTimesteps),
        guidance: timeCondProjDim === null ? 0 : embedded,
      },
    };
  }
  if (!trajectory) return undefined;
  const scheduler = {
    _class_name: "EulerDiscreteScheduler",
    ...noise,
    timestep_spacing: "trailing",
    steps_offset: 0,
  };
  return { scheduler, defaults: { steps: trajectory.steps, guidance: 0 } };
}

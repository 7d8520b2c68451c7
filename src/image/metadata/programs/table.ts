/** @file Programs that put their settings into images as plain JSON, and where in it each setting is. */

import { at, isObject, type Json, objectIn, textOf } from "./json.js";

/**
 * Paths of keys, `|` between alternatives, of which the first that is there counts, and `,` between width and height.
 */
type Keys = {
  prompt: string;
  negative: string;
  steps: string;
  sampler: string;
  schedule?: string;
  cfg: string;
  seed: string;
  size: string;
  model?: string;
  strength?: string;
  rng?: string;
};

export type JsonProgram = {
  name: string;
  is: (object: Json) => boolean;
  /** The object with the settings, where they are nested. */
  inside?: (object: Json) => unknown;
  keys: Keys;
  /** The keys that are named if they are set, where the program writes many that do nothing; all others if left out. */
  matters?: readonly string[];
  /** Whose random numbers a seed means, where the program always takes the same. */
  rng?: "CPU";
};

const has = (object: Json, ...keys: string[]): boolean => keys.every((key) => Object.hasOwn(object, key));

export const jsonPrograms: readonly JsonProgram[] = [
  {
    name: "SwarmUI",
    is: (o) => has(o, "sui_image_params"),
    inside: (o) => o.sui_image_params,
    keys: {
      prompt: "prompt",
      negative: "negativeprompt",
      steps: "steps",
      sampler: "sampler|comfyuisampler|autowebuisampler",
      schedule: "scheduler|comfyuischeduler",
      cfg: "cfgscale",
      seed: "seed",
      size: "width,height",
      model: "model",
    },
    rng: "CPU",
  },
  {
    name: "RuinedFooocus",
    is: (o) => o.software === "RuinedFooocus",
    keys: {
      prompt: "Prompt",
      negative: "Negative",
      steps: "steps",
      sampler: "sampler_name",
      schedule: "scheduler",
      cfg: "cfg",
      seed: "seed",
      size: "width,height",
      model: "base_model_name",
    },
    rng: "CPU",
  },
  {
    name: "Fooocus",
    is: (o) => has(o, "prompt", "base_model"),
    keys: {
      prompt: "prompt",
      negative: "negative_prompt",
      steps: "steps",
      sampler: "sampler",
      schedule: "scheduler",
      cfg: "guidance_scale|cfg",
      seed: "seed",
      size: "resolution|width,height",
      model: "base_model",
    },
    rng: "CPU",
  },
  {
    name: "InvokeAI",
    is: (o) => has(o, "positive_prompt"),
    keys: {
      prompt: "positive_prompt",
      negative: "negative_prompt",
      steps: "steps",
      sampler: "scheduler",
      cfg: "cfg_scale",
      seed: "seed",
      size: "width,height",
      model: "model.name|model.model_name",
      strength: "strength",
      rng: "rand_device",
    },
  },
  {
    name: "Draw Things",
    is: (o) => has(o, "c", "uc"),
    keys: {
      prompt: "c",
      negative: "uc",
      steps: "steps",
      sampler: "sampler",
      cfg: "scale",
      seed: "seed",
      size: "size",
      model: "model",
      strength: "strength",
    },
  },
  {
    name: "NovelAI",
    is: (o) => has(o, "uc", "scale") || (has(o, "Comment") && textOf(o.Software) === "NovelAI"),
    inside: novelaiComment,
    keys: {
      prompt: "prompt|Description",
      negative: "uc",
      steps: "steps",
      sampler: "sampler",
      schedule: "noise_schedule",
      cfg: "scale",
      seed: "seed",
      size: "width,height",
    },
    matters: ["sm", "sm_dyn", "cfg_rescale", "dynamic_thresholding", "reference_strength_multiple"],
  },
  {
    name: "Easy Diffusion",
    is: (o) => has(o, "num_inference_steps", "guidance_scale") || has(o, "Steps", "Guidance Scale"),
    keys: {
      prompt: "prompt|Prompt",
      negative: "negative_prompt|Negative Prompt",
      steps: "num_inference_steps|Steps",
      sampler: "sampler_name|Sampler",
      cfg: "guidance_scale|Guidance Scale",
      seed: "seed|Seed",
      size: "width,height|Width,Height",
      model: "use_stable_diffusion_model|Stable Diffusion model",
      strength: "prompt_strength|Prompt Strength",
    },
  },
];

/** Its settings are JSON in `Comment`; early ones have the prompt beside it alone. */
function novelaiComment(object: Json): unknown {
  const comment = textOf(object.Comment);
  const inside = comment === undefined ? object : objectIn(comment);
  const description = at(object, "Description");
  return isObject(inside) && description !== undefined ? { ...inside, Description: description } : inside;
}

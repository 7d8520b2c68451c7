/** @file Translates another program's settings into a request's. Also runs in the page: must not import Node. */

import { a1111Scheduler, isKnownSchedule } from "../../diffusion/schedulers/a1111-names.js";
import type { SchedulerChoice } from "../../diffusion/schedulers/sampler-names.js";
import { isSeed } from "../../diffusion/seed.js";
import type { Parameters } from "../../image/metadata/parameters.js";

export type ProgramSettings = {
  prompt: string;
  negativePrompt: string | undefined;
  steps: number | undefined;
  guidanceScale: number | undefined;
  seed: bigint | undefined;
  size: { width: number; height: number } | undefined;
  scheduler: SchedulerChoice | undefined;
  model: string | undefined;
  rng: "cpu" | "cuda";
  /** How far an image to begin with was left, where the program did not enlarge its own. */
  strength: number | undefined;
  /** The names of settings that are not taken over. */
  left: readonly string[];
  /** Of what every image is made with, what is not in the file. */
  missing: readonly string[];
};

const essential = ["Steps", "Sampler", "CFG scale", "Seed", "Size"];
/** Other names of one setting. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  "CFG scale": ["Guidance Scale"],
  "Schedule type": ["Scheduler"],
};
/** Of the file, the model's file or its writer. */
const descriptive = ["Model hash", "Version", "App", "Backend", "User"];

/** Reads the values of A1111's names in any program's spelling. */
export function programSettings({ prompt, negativePrompt, fields }: Parameters): ProgramSettings {
  const read = new Set(descriptive);
  /** A value that `make` makes something of; otherwise it is among what is left. */
  const take = <T>(name: string, make: (value: string) => T | undefined): T | undefined => {
    for (const label of [name, ...(synonyms[name] ?? [])]) {
      const value = fields.get(label);
      const made = value === undefined ? undefined : make(value);
      if (made !== undefined) read.add(label);
      if (made !== undefined) return made;
    }
    return undefined;
  };
  const enlarged = [...fields.keys()].some((name) => /^(Hires|Second pass)/.test(name));
  const schedule = take("Schedule type", (value) => (isKnownSchedule(value) ? value : undefined));
  const settings = {
    prompt,
    negativePrompt,
    steps: take("Steps", (value) =>
      /^\d{1,3}$/.test(value) && Number(value) > 0 ? Number(value) : undefined,
    ),
    guidanceScale: take("CFG scale", (value) =>
      /^\d{1,3}(\.\d+)?$/.test(value) ? Number(value) : undefined,
    ),
    seed: take("Seed", (value) => (isSeed(value) ? BigInt(value) : undefined)),
    size: take("Size", (value) => {
      const [, width, height] = /^(\d{1,4})x(\d{1,4})$/.exec(value) ?? [];
      return width === undefined ? undefined : { width: Number(width), height: Number(height) };
    }),
    scheduler: take("Sampler", (value) => a1111Scheduler(value, schedule)),
    model: take("Model", (value) => value || undefined),
    // A1111 draws on the GPU by default.
    rng: take("RNG", (value) => randomNumbers[value.toUpperCase()]) ?? "cuda",
    strength: enlarged ? undefined : take("Denoising strength", fraction),
  };
  return {
    ...settings,
    left: [...fields.keys()].filter((name) => !read.has(name)).map((name) => name.slice(0, 60)),
    missing: essential.filter(
      (name) => ![name, ...(synonyms[name] ?? [])].some((label) => fields.has(label)),
    ),
  };
}

const randomNumbers: Readonly<Record<string, "cpu" | "cuda">> = {
  CPU: "cpu",
  NV: "cuda",
  GPU: "cuda",
  CUDA: "cuda",
};

const fraction = (value: string): number | undefined =>
  /^(0?\.\d+|1(\.0+)?|0)$/.test(value) && Number(value) > 0 ? Number(value) : undefined;

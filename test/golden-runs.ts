/** @file Diffusers' runs of the goldens as requests of the library, for tests that cannot use the conformance tool: in a browser. */

import { readFile } from "node:fs/promises";
import path from "node:path";
import type { GenerateRequest } from "../src/index.js";
import type { AppOptions } from "./browser-app.js";

const golden = path.resolve("golden/data");

/** One run of each family. */
export const runNames = [
  "koala-700m-tiny/quick-start",
  "koala-1b-tiny/quick-start",
  "sdxl-tiny/euler-25-style",
  "sd2-tiny/euler-v",
] as const;

type RunFile = {
  scheduler: { overrides: { timestep_spacing?: "trailing" } };
  call: Record<"prompt" | "negative_prompt", string> &
    Record<"width" | "height" | "num_inference_steps" | "guidance_scale", number>;
  generator: { seeds: [number] };
};

export type GoldenRun = {
  model: string;
  folder: string;
  request: GenerateRequest;
  options: Pick<AppOptions, "euler">;
  /** What Diffusers computed, without its ending: `.safetensors`, `.png`. */
  results: string;
};

/** A run of these, all of which use Euler's method. */
export async function goldenRun(name: string): Promise<GoldenRun> {
  const results = path.join(golden, "runs", name);
  const run: RunFile = JSON.parse(await readFile(`${results}.json`, "utf8"));
  const { prompt, negative_prompt, width, height, num_inference_steps, guidance_scale } = run.call;
  const { timestep_spacing: timestepSpacing } = run.scheduler.overrides;
  const model = name.split("/")[0]!;
  return {
    ...{ model, results, folder: path.join(golden, "pipelines", model) },
    request: {
      ...{ prompt, width, height, negativePrompt: negative_prompt, seed: run.generator.seeds[0] },
      ...{ numInferenceSteps: num_inference_steps, guidanceScale: guidance_scale },
    },
    options: { euler: timestepSpacing ? { timestepSpacing } : {} },
  };
}

/** The largest difference over the largest value. */
export function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const most = (of: (i: number) => number) =>
    Array.from(expected, (_, i) => Math.abs(of(i))).reduce((a, b) => Math.max(a, b), 0);
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  return most((i) => actual[i]! - expected[i]!) / most((i) => expected[i]!);
}

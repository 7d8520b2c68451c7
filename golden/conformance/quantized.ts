/**
 * @file Tolerances of weights in eight bits: twice what these runs were measured to be off PyTorch's float32, on AVX2
 * without VNNI. Tiny networks of random weights are off more than trained ones (docs/performance.md).
 */

import type { QuantizedFormat } from "../../src/engine/device.js";
import { type Check, type Expectation, type Tolerance, uncovered } from "./check.js";

/** Of the texts' states, the first prediction, the last latents and the image, if the run has one. */
type Errors = { embeds: number; noisePred: number; latents: number; psnr?: number };

const measured: Readonly<Record<QuantizedFormat, Readonly<Record<string, Errors>>>> = {
  int8: {
    "runs/koala-700m-tiny/wide": { embeds: 0.044, noisePred: 0.123, latents: 0.128, psnr: 31.3 },
    "runs/sd1-tiny/euler-wide": { embeds: 0.03, noisePred: 0.039, latents: 0.041 },
    "runs/sd2-tiny/no-negative": { embeds: 0.029, noisePred: 0.032, latents: 0.04, psnr: 41 },
  },
  "int8-fast": {
    "runs/koala-700m-tiny/wide": { embeds: 0.075, noisePred: 0.153, latents: 0.137, psnr: 28.1 },
    "runs/sd1-tiny/euler-wide": { embeds: 0.041, noisePred: 0.112, latents: 0.116 },
    "runs/sd2-tiny/no-negative": { embeds: 0.053, noisePred: 0.099, latents: 0.113, psnr: 31.2 },
  },
};
const times = 2;

/** Sections that run no network. */
const withoutNetworks = ["random", "tokens", "schedulers", "prompts", "folder"];

/** The check of "section/name" as it is with quantised weights. */
export const withQuantized =
  (format: QuantizedFormat) =>
  (check: Check, name: string): Check => {
    if (withoutNetworks.includes(name.split("/")[0]!)) return check;
    const errors = measured[format][name];
    if (!errors) return uncovered(check.name, `it was not measured with ${format} weights`);
    return { ...check, expected: async () => replaced(await check.expected(), errors) };
  };

function replaced(expected: ReadonlyMap<string, Expectation>, errors: Errors): Map<string, Expectation> {
  const kept = [...expected].flatMap(([name, one]) => {
    const tolerance = ofRun(name, one.tolerance, errors);
    return tolerance ? [[name, { ...one, tolerance }] as const] : [];
  });
  return new Map(kept);
}

/** The tolerance of a run's tensor; undefined for one that is not compared, such as those between its steps. */
function ofRun(name: string, float32: Tolerance, errors: Errors): Tolerance | undefined {
  const relative = (error: number): Tolerance => ({ kind: "relative", most: times * error });
  if (name.endsWith("embeds")) return relative(errors.embeds);
  if (name === "steps.noise_pred[0]") return relative(errors.noisePred);
  if (name === "final_latents") return relative(errors.latents);
  if (name === "image" && errors.psnr !== undefined)
    return { kind: "psnr", least: errors.psnr - 20 * Math.log10(times) };
  return /(timesteps|sigmas|add_time_ids)$/.test(name) ? float32 : undefined;
}

/**
 * @file Tolerances of half precision: four times what PyTorch's own float16 is off on the same stage or run
 * (`half-precision.json`), since two right implementations round at different places.
 */

import { z } from "zod";
import { kindOf, readJson } from "../../src/files/file-system.js";
import { type Check, type Context, type Expectation, type Tolerance, uncovered } from "./check.js";

const file = "half-precision.json";
const byRow = <T extends z.ZodType>(schema: T) => z.record(z.string(), z.looseObject({ float16: schema }));
const schema = z.looseObject({
  /** Of the stage's worst tensor. */
  stages: byRow(z.number()),
  /** Of the first prediction, the last latents and the image. */
  runs: byRow(z.object({ noise_pred: z.number(), final_latents: z.number(), psnr: z.number().optional() })),
});
const times = 4;
const decibels = 20 * Math.log10(times);

type Errors = z.infer<typeof schema>;

/** The check of "section/name" as it is on the engine's device: itself, unless that computes in float16. */
export async function onDevice(context: Context): Promise<(check: Check, name: string) => Check> {
  const { device } = context.engine;
  if (device.dtype === "float32") return (check) => check;
  const at = await context.layers.locate(file);
  const errors = (await kindOf(at)) ? schema.parse(await readJson(at)) : { stages: {}, runs: {} };
  return (check, name) => {
    const [section, ...rest] = name.split("/");
    if (section === "distil") return uncovered(check.name, "training computes in float32");
    if (section !== "stages" && section !== "runs") return check;
    const tolerance = (section === "stages" ? ofStage : ofRun)(errors, rest.join("/"));
    return tolerance
      ? { ...check, expected: async () => replaced(await check.expected(), tolerance) }
      : uncovered(check.name, `PyTorch's own error in float16 is not in ${file}`);
  };
}

/** The tolerance of a tensor; undefined for one that is not compared. */
type Rule = (name: string, float32: Tolerance) => Tolerance | undefined;

function replaced(expected: ReadonlyMap<string, Expectation>, rule: Rule): Map<string, Expectation> {
  const kept = [...expected].flatMap(([name, one]) => {
    const tolerance = rule(name, one.tolerance);
    return tolerance ? [[name, { ...one, tolerance }] as const] : [];
  });
  return new Map(kept);
}

const relative = (error: number): Tolerance => ({ kind: "relative", most: times * error });

function ofStage(errors: Errors, row: string): Rule | undefined {
  const found = errors.stages[row]?.float16;
  return found === undefined ? undefined : () => relative(found);
}

/** Of a run's tensors those that PyTorch was measured at, and those that no network computes. */
function ofRun(errors: Errors, row: string): Rule | undefined {
  const found = errors.runs[row]?.float16;
  if (!found) return undefined;
  return (name, float32) => {
    if (name === "steps.noise_pred[0]") return relative(found.noise_pred);
    if (name === "final_latents") return relative(found.final_latents);
    if (name === "image") return { kind: "psnr", least: (found.psnr ?? 0) - decibels };
    return /(timesteps|sigmas|add_time_ids)$/.test(name) ? float32 : undefined;
  };
}

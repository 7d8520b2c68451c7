/** @file How images are generated with a LoRA that was distilled to few steps, by the header of its file. */

import * as z from "zod/mini";
import { schedulerFromConfig } from "../diffusion/schedulers/registry.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { InvalidRequest, ModelError } from "../errors.js";
import { parseJsonObject } from "../files/json.js";
import path from "../files/path.js";
import { parseConfig } from "../models/config.js";
import { openSafetensors } from "../weights/safetensors-file.js";
import type { Lora } from "./lora.js";

/** The header's entry, JSON. Only files of this program's trainer have it. */
export const samplingEntry = "koala_sampling";

export type LoraSampling = {
  /** The file's name. */
  source: string;
  /** Of the whole `scheduler_config.json`, with `_class_name`. */
  scheduler: Scheduler;
  steps: number;
  guidance: number;
};

const schema = z.object({
  scheduler: z.record(z.string(), z.unknown(), "must be a scheduler's config"),
  steps: z.int("must be a whole number above 0").check(z.positive("must be a whole number above 0")),
  guidance: z.number("must be a number of at least 0").check(z.nonnegative("must be a number of at least 0")),
});

/** Of the last of these LoRAs whose file says so; those of scale 0 do not count. ModelError for a wrong entry. */
export async function loraSampling(loras: readonly Lora[]): Promise<LoraSampling | undefined> {
  for (const { file } of loras.filter(({ scale }) => scale !== 0).toReversed()) {
    const { [samplingEntry]: entry } = (await openSafetensors(file)).metadata;
    if (entry === undefined) continue;
    const json = parseJsonObject(new TextEncoder().encode(entry), file, samplingEntry);
    const { scheduler, ...rest } = parseConfig(schema, json, file);
    return { source: path.basename(file), scheduler: schedulerIn(file, scheduler), ...rest };
  }
  return undefined;
}

function schedulerIn(file: string, config: Readonly<Record<string, unknown>>): Scheduler {
  try {
    return schedulerFromConfig(config);
  } catch (error) {
    if (error instanceof InvalidRequest) throw new ModelError(file, `${samplingEntry}: ${error.message}`);
    throw error;
  }
}

/** A warning of a scheduler that the LoRA was not distilled for. */
export function samplingWarning(used: Scheduler, sampling: LoraSampling | undefined): string | undefined {
  if (sampling === undefined || used.className === sampling.scheduler.className) return undefined;
  const { source, scheduler, steps, guidance } = sampling;
  const rule = `was distilled for ${scheduler.className} in ${steps} steps with a guidance scale of ${guidance}`;
  return `${source}: ${rule}, got ${used.className}, so the image will be worse`;
}

/** @file AUTOMATIC1111's requests as requests of the jobs API. */

import {
  a1111Samplers,
  a1111Schedule,
  a1111Scheduler,
  a1111Schedules,
} from "../../diffusion/schedulers/a1111-names.js";
import { InvalidRequest, listed } from "../../errors.js";
import { describe } from "../../files/json.js";
import type { PartialRequest } from "../../jobs/resolve-request.js";
import type { OutputFormat } from "../../jobs/schemas.js";
import type { Emphasis } from "../../text/prompt-rules.js";
import type { ImageTasks } from "../image-tasks.js";
import { fromText, type Img2img, type Txt2img } from "./schemas.js";
import { maskWarnings, overrideWarnings, refuseEffects } from "./unsupported-fields.js";

/** The options that POST /options sets; without `checkpoint`, the first model. */
export type GlobalOptions = { checkpoint?: string; clipSkip?: number };

export function txt2imgRequest(body: Txt2img, globalOptions: GlobalOptions): PartialRequest {
  refuseEffects(body);
  const { prompt, negative_prompt, seed, cfg_scale, steps, width, height } = body;
  const scheduler = samplerOf(body);
  return {
    prompt: prompt ?? "",
    promptSyntax: "a1111",
    ...(body.dynamic_prompts && { dynamicPrompts: true }),
    ...(negative_prompt != null && { negativePrompt: negative_prompt }),
    ...(seed != null && { seed }),
    ...(cfg_scale != null && { guidanceScale: cfg_scale }),
    ...(steps != null && { steps }),
    ...(width != null && { width }),
    ...(height != null && { height }),
    ...(scheduler && { scheduler }),
    roundsSize: true,
    count: (body.batch_size ?? 1) * (body.n_iter ?? 1),
    ...overrides(body.override_settings ?? {}, globalOptions),
    warnings: overrideWarnings(body),
    previews: true,
  };
}

export async function img2imgRequest(
  body: Img2img,
  globalOptions: GlobalOptions,
  read: ImageTasks,
): Promise<PartialRequest> {
  const partial = txt2imgRequest(body, globalOptions);
  const image = await read.sourceFromText("init_images", body.init_images[0]!);
  const given = body.mask ? await read.sourceFromText("mask", body.mask) : undefined;
  const mask =
    given && body.inpainting_mask_invert ? await read.maskSource(given, { inverted: true }) : given;
  const masked = mask && { mask, warnings: [...(partial.warnings ?? []), ...maskWarnings(body)] };
  return { ...partial, image, ...masked, strength: body.denoising_strength ?? 0.75 };
}

/** Undefined: the model's own. */
function samplerOf({ sampler_name, sampler_index, scheduler }: Txt2img) {
  const sampler = sampler_name || sampler_index;
  if (scheduler && a1111Schedule(scheduler) === undefined)
    throw new InvalidRequest("scheduler", scheduler, unknownName(a1111Schedules, scheduler));
  if (!sampler && (!scheduler || a1111Schedule(scheduler) === "Automatic")) return undefined;
  const name = sampler || "Euler";
  const choice = a1111Scheduler(name, scheduler || "Automatic");
  if (!choice) throw new InvalidRequest("sampler_name", name, unknownName(a1111Samplers, name));
  const { label, ...named } = choice;
  return { ...named, name: label };
}

const unknownName = (known: readonly string[], got: string): string =>
  `must be one of ${listed(known, 40)}, got ${JSON.stringify(got)}.`;

const formats: Readonly<Record<string, OutputFormat>> = {
  png: "png",
  jpg: "jpeg",
  jpeg: "jpeg",
  webp: "webp",
};

/** A1111's names of what follows the weights. */
const emphases: Readonly<Record<string, Emphasis>> = { Original: "original", "No norm": "noNorm" };

/** `override_settings`, on top of the global options. */
function overrides(settings: Readonly<Record<string, unknown>>, globalOptions: GlobalOptions) {
  let { checkpoint, clipSkip } = globalOptions;
  let outputFormat: OutputFormat | undefined;
  let emphasis: Emphasis | undefined;
  for (const [name, value] of Object.entries(settings)) {
    if (name === "sd_model_checkpoint" && typeof value === "string")
      checkpoint = plainTitle(value) || checkpoint;
    else if (name === "CLIP_stop_at_last_layers") clipSkip = clipSkipOf(`override_settings.${name}`, value);
    else if (name === "samples_format" && typeof value === "string" && Object.hasOwn(formats, value))
      outputFormat = formats[value];
    else if (name === "emphasis" && typeof value === "string" && Object.hasOwn(emphases, value))
      emphasis = emphases[value];
    else if (!hasNoEffect(name, value)) {
      const rule = "is not supported by this server. Leave it out, or at its default.";
      throw new InvalidRequest(`override_settings.${name.slice(0, 100)}`, value, rule);
    }
  }
  return {
    ...(checkpoint !== undefined && { model: checkpoint }),
    ...(clipSkip && { clipSkip }),
    ...(outputFormat && { outputFormat }),
    ...(emphasis && { emphasis }),
  };
}

/** Settings of how A1111 shows and saves images, and empty values that clients send for "none". */
export const hasNoEffect = (name: string, value: unknown): boolean =>
  value === null ||
  value === "" ||
  (name === "sd_vae" && (value === "Automatic" || value === "None")) ||
  /^(samples_save|grid_save|save_|return_|do_not_|show_progress|live_preview|enable_pnginfo|add_model_)/.test(
    name,
  );

/** A1111 counts from the last layer, starting with 1; here it is how many are left out. */
export function clipSkipOf(field: string, given: unknown): number | undefined {
  const value = fromText(given);
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 12)
    return value === 1 ? undefined : value - 1;
  throw new InvalidRequest(field, value, `must be a whole number from 1 to 12, got ${describe(value)}.`);
}

/** A1111's titles may end in a hash: "model.safetensors [31e35c80fc]". */
export const plainTitle = (title: string): string => title.replace(/ \[[0-9a-f]+\]$/, "");

/**
 * @file AUTOMATIC1111's fields that this server does not support. At a value without effect each is accepted; at any
 * other the request is refused by the field's name, so that no client unknowingly gets another image than it requested.
 * Fields of a mask, whose defaults already have effects, cause a warning instead.
 */

import { a1111Scheduler } from "../../diffusion/schedulers/a1111-names.js";
import { InvalidRequest } from "../../errors.js";
import { describe } from "../../files/json.js";
import { fromText, type Img2img } from "./schemas.js";
import { refuseScripts } from "./scripts.js";

type Fields = Readonly<Record<string, unknown>>;
/** Whether a value has no effect. */
type UnsupportedField = (value: unknown, all: Fields) => boolean;

const oneOf =
  (...values: unknown[]): UnsupportedField =>
  (value) =>
    values.includes(value);
const off = oneOf(false, 0, "", "None");
const empty: UnsupportedField = (value) =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;
const upTo =
  (most: number): UnsupportedField =>
  (value) =>
    typeof value === "number" && value <= most;

const fields: Readonly<Record<string, UnsupportedField>> = {
  styles: (value) => empty(value, {}) || (Array.isArray(value) && value.every((style) => off(style, {}))),
  subseed_strength: oneOf(0),
  seed_resize_from_h: upTo(0),
  seed_resize_from_w: upTo(0),
  restore_faces: off,
  tiling: off,
  eta: isUsualEta,
  s_min_uncond: oneOf(0),
  s_churn: oneOf(0),
  s_tmin: oneOf(0),
  s_tmax: (value, { s_churn }) => value === 0 || s_churn === 0 || s_churn == null,
  s_noise: oneOf(1),
  refiner_checkpoint: off,
  firstphase_width: oneOf(0),
  firstphase_height: oneOf(0),
  firstpass_image: off,
  enable_hr: off,
  script_name: off,
  script_args: (value, { script_name }) => !script_name || empty(value, {}),
  infotext: off,
  // Of img2img.
  latent_mask: off,
  initial_noise_multiplier: oneOf(1),
  image_cfg_scale: oneOf(0, 1, 1.5),
  resize_mode: oneOf(0),
};

/** DDIM's default is 0; that of stochastic samplers is 1, and 0 would make them deterministic. Others read none. */
function isUsualEta(value: unknown, { sampler_name, sampler_index }: Fields): boolean {
  const { label = "" } = a1111Scheduler(String(sampler_name || sampler_index || "")) ?? {};
  if (/ a\b|SDE/.test(label)) return value === 1;
  return value === 0 || !/^(DDIM|TCD)\b/.test(label);
}

/** Throws an InvalidRequest that names the first field with an effect that is not supported. */
export function refuseEffects(body: Fields): void {
  refuseScripts(valueIn(body, "alwayson_scripts"));
  for (const [name, isWithoutEffect] of Object.entries(fields)) {
    const value = valueIn(body, name);
    if (value === null || value === undefined || isWithoutEffect(value, body)) continue;
    const rule = `is not supported by this server, got ${describe(value)}. Leave it out, or at its default.`;
    throw new InvalidRequest(name, value, rule);
  }
}

const valueIn = (body: Fields, name: string): unknown =>
  Object.hasOwn(body, name) ? fromText(body[name]) : undefined;

/** What A1111 does with a mask, by these fields or their defaults, and what is not done here. */
export function maskWarnings(body: Img2img): string[] {
  const blur = Math.max(body.mask_blur_x ?? body.mask_blur ?? 4, body.mask_blur_y ?? body.mask_blur ?? 4);
  const ignored = [
    ...((body.inpaint_full_res ?? true) ? ["inpaint_full_res true"] : []),
    ...(body.inpainting_fill === 1 ? [] : [`inpainting_fill ${body.inpainting_fill ?? 0}`]),
    ...(blur > 0 ? [`mask_blur ${blur}`] : []),
  ];
  if (ignored.length === 0) return [];
  const instead = "the whole image is generated, from its own content, up to the mask's edge";
  return [`mask: has no effect here: ${ignored.join(", ")}; ${instead}`];
}

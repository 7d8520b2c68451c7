/**
 * @file AUTOMATIC1111's fields that this server does not support. At a value without effect each is accepted; at any
 * other the request is refused by the field's name, so that no client unknowingly gets another image than it requested.
 * Fields of a mask, whose defaults already have effects, cause a warning instead.
 */

import { InvalidRequest } from "../../errors.js";
import { describe } from "../../files/json.js";
import { fromFlag, fromText, type Img2img } from "./schemas.js";
import { refuseScripts } from "./scripts.js";

type Fields = Readonly<Record<string, unknown>>;
/** Whether a value has no effect. */
type UnsupportedField = (value: unknown, all: Fields) => boolean;

const oneOf =
  (...values: unknown[]): UnsupportedField =>
  (value) =>
    values.includes(value);
const off = oneOf(false, 0, "", "None");
const flagOff: UnsupportedField = (value) => value === "" || fromFlag(value) === false;
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
  restore_faces: flagOff,
  tiling: flagOff,
  s_min_uncond: oneOf(0),
  s_churn: oneOf(0),
  s_tmin: oneOf(0),
  s_tmax: (value, all) => value === 0 || [0, null, undefined].some((off) => off === valueIn(all, "s_churn")),
  s_noise: oneOf(1),
  refiner_checkpoint: off,
  firstphase_width: oneOf(0),
  firstphase_height: oneOf(0),
  firstpass_image: off,
  enable_hr: flagOff,
  script_name: off,
  script_args: (value, { script_name }) => !script_name || empty(value, {}),
  infotext: off,
  // Of img2img.
  latent_mask: off,
  initial_noise_multiplier: oneOf(1),
  image_cfg_scale: oneOf(0, 1, 1.5),
  resize_mode: oneOf(0),
};

/** Throws an InvalidRequest that names the first field with an effect that is not supported. */
export function refuseEffects(body: Fields): void {
  refuseScripts(valueIn(body, "alwayson_scripts"));
  for (const [name, isWithoutEffect] of Object.entries(fields)) {
    const value = valueIn(body, name);
    if (value === null || value === undefined || isWithoutEffect(value, body)) continue;
    throw unsupported(name, value);
  }
}

/**
 * Throws an InvalidRequest for an `eta` with an effect on `sampler`, A1111's name of what the job is generated with. The
 * default of DDIM and TCD is 0; that of stochastic samplers is 1, and 0 would make them deterministic. Others read none.
 */
export function refuseEta(body: Fields, sampler: string): void {
  const eta = valueIn(body, "eta");
  if (eta === null || eta === undefined) return;
  const usual = / a\b|SDE/.test(sampler) ? 1 : 0;
  if (eta !== usual && (usual === 1 || /^(DDIM|TCD)\b/.test(sampler))) throw unsupported("eta", eta);
}

function unsupported(name: string, value: unknown): InvalidRequest {
  const rule = `is not supported by this server, got ${describe(value)}. Leave it out, or at its default.`;
  return new InvalidRequest(name, value, rule);
}

const valueIn = (body: Fields, name: string): unknown =>
  Object.hasOwn(body, name) ? fromText(body[name]) : undefined;

/** Of `override_settings` that A1111 would make the server's options for later requests too. */
export function overrideWarnings(body: Fields): string[] {
  const given = valueIn(body, "override_settings");
  const kept = fromFlag(valueIn(body, "override_settings_restore_afterwards")) === false;
  if (!kept || given === undefined || given === null || empty(given, {})) return [];
  const rule = "has no effect here: override_settings are of this request alone";
  return [`override_settings_restore_afterwards: ${rule}, got false`];
}

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

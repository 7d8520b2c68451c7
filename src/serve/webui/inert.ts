/**
 * @file AUTOMATIC1111's fields that this server has nothing for. At a value without effect, or at the default that
 * clients always send, each is accepted; at any other the request is refused by the field's name, so that nobody gets
 * another picture than was asked for without knowing.
 */

import { InvalidRequest } from "../../errors.js";
import { describe } from "../../weights/json.js";

type Fields = Readonly<Record<string, unknown>>;
type Inert = (value: unknown, all: Fields) => boolean;

const oneOf =
  (...values: unknown[]): Inert =>
  (value) =>
    values.includes(value);
const off = oneOf(false, 0, "", "None");
const empty: Inert = (value) =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;
const upTo =
  (most: number): Inert =>
  (value) =>
    typeof value === "number" && value <= most;

const fields: Readonly<Record<string, Inert>> = {
  styles: empty,
  subseed_strength: oneOf(0),
  seed_resize_from_h: upTo(0),
  seed_resize_from_w: upTo(0),
  restore_faces: off,
  tiling: off,
  eta: isDefaultEta,
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
  alwayson_scripts: noScriptRuns,
  infotext: off,
  // Of img2img.
  latent_mask: off,
  mask_blur: upTo(4),
  mask_blur_x: upTo(4),
  mask_blur_y: upTo(4),
  inpainting_fill: oneOf(0, 1),
  inpaint_full_res: oneOf(true, false, 0, 1),
  inpaint_full_res_padding: upTo(32),
  initial_noise_multiplier: oneOf(1),
  image_cfg_scale: oneOf(0, 1, 1.5),
  resize_mode: oneOf(0),
};

/** Of a mask, which has no effect without one. */
const masks = /^(mask_blur|inpaint)/;

/** Throws an InvalidRequest that names the first field whose effect is not to be had here. */
export function refuseEffects(body: Fields): void {
  for (const [name, inert] of Object.entries(fields)) {
    const value = Object.hasOwn(body, name) ? body[name] : undefined;
    if (value === null || value === undefined || inert(value, body)) continue;
    if (masks.test(name) && !body.mask) continue;
    const rule = `is not supported by this server, got ${describe(value)}. Leave it out, or at its default.`;
    throw new InvalidRequest(name, value, rule);
  }
}

/** DDIM and TCD add no noise by default, ancestral and SDE samplers all of it; the others do not read `eta`. */
function isDefaultEta(value: unknown, { sampler_name, sampler_index }: Fields): boolean {
  const sampler = String(sampler_name || sampler_index);
  if (/^(DDIM|TCD)\b/.test(sampler)) return value === 0;
  return value === 1 || !/ (a|SDE)\b/.test(sampler);
}

/** Extensions that are named and given nothing to do, as clients of ControlNet send them. */
function noScriptRuns(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).every((script: unknown) => {
    const args = typeof script === "object" && script !== null && "args" in script ? script.args : script;
    return args === null || empty(args, {});
  });
}

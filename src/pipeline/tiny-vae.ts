/** @file Finds the TAESD that lies beside a model: a small autoencoder that decodes many times as fast and less exactly. */

import { ModelError } from "../errors.js";
import { kindOf } from "../files/file-system.js";
import path from "../files/path.js";
import { tinyVaeName } from "../hub/resolve-component.js";
import type { ModelSource } from "../weights/model-source.js";

/** Of so many steps or fewer decoding is much of the time. */
export const fewSteps = 10;

/** TAESD is for the latents of Stable Diffusion 1 and 2, TAESDXL for those of SDXL and KOALA. */
const nameFor = ({ className }: ModelSource): "taesdxl" | "taesd" =>
  className.includes("XL") ? "taesdxl" : "taesd";

/** Its folder or its decoder's file: in the model's folder, or next to the model; undefined where there is none. */
export async function findTinyVae(source: ModelSource): Promise<string | undefined> {
  const name = nameFor(source);
  const names = ["vae_tiny", name, `${name}_decoder.safetensors`, `${name}.safetensors`];
  const isFolder = (await kindOf(source.path)) === "folder";
  // At a URL each name that is not there would be a request.
  const isRemote = /^https?:\//.test(source.path);
  const beside = isRemote ? [] : names.slice(1).map((one) => path.join(path.dirname(source.path), one));
  const inside = isFolder ? names.map((one) => path.join(source.path, one)) : [];
  for (const place of [...inside, ...beside]) if (await kindOf(place)) return place;
  return undefined;
}

/** As `findTinyVae`; ModelError where there is none. */
export async function tinyVaeOf(source: ModelSource): Promise<string> {
  const found = await findTinyVae(source);
  if (found !== undefined) return found;
  const name = nameFor(source);
  const rule = `vae: must be "${tinyVaeName}" where a TAESD lies in the model's folder or next to it, got no ${name} there`;
  throw new ModelError(source.path, `${rule}. Name one, as in --vae madebyollin/${name}.`);
}

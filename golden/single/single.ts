/**
 * @file single/<recipe>: every tensor of a single file, as this build reads it through its original names, against the
 * folder that it was made of; and the run that it must give where no run of its own names it.
 */

import path from "node:path";
import { ModelError } from "../../src/errors.js";
import { kindOf } from "../../src/files/file-system.js";
import { clipName } from "../../src/models/clip.js";
import { currentVaeName } from "../../src/models/vae.js";
import type { Component } from "../../src/pipeline/component.js";
import { loadComponents } from "../../src/pipeline/components.js";
import { readFloats, resolveWeights } from "../../src/weights/component.js";
import { fromFloat32, toFloat32, type WritableDtype } from "../../src/weights/dtype.js";
import { renamed } from "../../src/weights/weight-set.js";
import {
  type Check,
  type Computed,
  type Context,
  type Expectation,
  type Expectations,
  orFailingCheck,
  type Section,
  type TensorData,
  tensorData,
} from "../conformance/check.js";
import { diffusersError, equal } from "../conformance/tolerances.js";
import { openOptions } from "./files.js";
import type { Recipe } from "./recipe.js";

export const single: Section = async (context) => {
  const rows: Check[] = [];
  // A folder that lies over another has its own recipes.
  if (!(await kindOf(path.join(context.folder, "single", "recipes.json")))) return rows;
  for (const [name, recipe] of await context.single.recipes()) {
    rows.push({
      name,
      compute: () => computed(name, recipe, context),
      expected: () => expected(recipe, context),
    });
  }
  return orFailingCheck("(listing)", async () => rows);
};

const refused = "without its autoencoder";

/** The tensors of each part of the file by part and Diffusers' name, widened. */
async function computed(name: string, recipe: Recipe, { single, engine }: Context): Promise<Computed> {
  const { model, options } = await openOptions(name, single);
  const { unet, vae, textEncoders } = await loadComponents(model, { engine, ...options });
  const all: Component[] = [unet.component, vae.component, ...textEncoders.map(({ component }) => component)];
  const tensors = new Map<string, TensorData | Error>();
  for (const { name: part, weights } of all.filter((component) => holds(recipe, component.name)))
    for (const [tensor, { shape }] of weights.tensors) {
      if (/position_ids$/.test(tensor)) continue;
      tensors.set(`${part}.${tensor}`, tensorData(await readFloats(weights, tensor), ...shape));
    }
  if (recipe.expect.without_vae !== undefined) {
    const { vae: _, ...without } = options;
    const error = await loadComponents(model, { engine, ...without }).catch((e: unknown) => e);
    if (error instanceof ModelError && /first_stage_model.*--vae/.test(error.message))
      tensors.set(refused, error);
  }
  return tensors;
}

const holds = ({ parts }: Recipe, part: string): boolean => parts?.includes(part) ?? true;

/** The folder's tensors, changed as the recipe says. */
async function expected(recipe: Recipe, { layers }: Context): Promise<Expectations> {
  const folder = await layers.complete(recipe.base);
  const all: [string, Expectation][] = [];
  for (const part of ["unet", "vae", "text_encoder", "text_encoder_2"]) {
    if (!holds(recipe, part) || !(await kindOf(path.join(folder, part)))) continue;
    const other = part === "unet" ? recipe.unet_file : undefined;
    const given = await resolveWeights(other ? await layers.locate(other) : path.join(folder, part));
    const set = renamed(given, part === "vae" ? currentVaeName : part === "unet" ? (same) => same : clipName);
    for (const [tensor, { shape, dtype }] of set.tensors) {
      if (/position_ids$/.test(tensor)) continue;
      const data = changed(await readFloats(set, tensor), dtype as WritableDtype, recipe);
      all.push([`${part}.${tensor}`, { tolerance: equal, numbers: tensorData(data, ...shape) }]);
    }
  }
  if (recipe.expect.without_vae !== undefined) all.push([refused, { tolerance: diffusersError }]);
  return new Map(all);
}

function changed(values: Float32Array, stored: WritableDtype, { times, dtype }: Recipe): Float32Array {
  const as = (floats: Float32Array, to: WritableDtype) => {
    const { buffer, byteOffset, byteLength } = fromFloat32(floats, to);
    return toFloat32(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength), to);
  };
  const scaled =
    times === undefined
      ? values
      : as(
          values.map((x) => x * Math.fround(times)),
          stored,
        );
  return dtype === undefined ? scaled : as(scaled, dtype as WritableDtype);
}

/**
 * @file Builds the single files of golden data: each is described by a recipe (a Diffusers folder, a map of names, and
 * what is added and changed), and checked by the digest of what Python wrote.
 */

import { createHash } from "node:crypto";
import path from "node:path";
import { z } from "zod";
import { readJson } from "../../src/files/file-system.js";
import { clipName } from "../../src/models/clip.js";
import { currentVaeName } from "../../src/models/vae.js";
import { readTensor, resolveWeights } from "../../src/weights/component.js";
import {
  dtypeSizes,
  type FloatDtype,
  fromFloat32,
  isFloatDtype,
  type StoredDtype,
  toFloat32,
  type WritableDtype,
} from "../../src/weights/dtype.js";
import { serialize } from "../../src/weights/safetensors.js";
import type { WeightSet } from "../../src/weights/weight-set.js";
import { renamed } from "../../src/weights/weight-set.js";
import type { GoldenLayers } from "../conformance/layers.js";

const dtype = z.enum(["F32", "F16", "BF16", "I64"]);
const shape = z.array(z.number());
const added = z.strictObject({
  name: z.string(),
  dtype: dtype.default("F32"),
  shape,
  fill: z.number().optional(),
  values: z.array(z.number()).optional(),
  arange: z.number().optional(),
  copy: z.string().optional(),
  times: z.number().optional(),
});

const recipeSchema = z.strictObject({
  why: z.string(),
  base: z.string(),
  map: z.string(),
  dtype: dtype.optional(),
  parts: z.array(z.string()).optional(),
  times: z.number().optional(),
  unet_file: z.string().optional(),
  ema: z.number().optional(),
  add: z.array(added).default([]),
  strip: z.string().optional(),
  prefix: z.string().optional(),
  metadata: z.record(z.string(), z.string()).default({}),
  vae: z.string().optional(),
  expect: z.strictObject({
    run: z.string(),
    over: z.string().optional(),
    without_vae: z.string().optional(),
  }),
  tensors: z.number(),
  digest: z.string(),
  file: z.string().optional(),
});
export type Recipe = z.infer<typeof recipeSchema>;

/** All recipes of a golden folder, by name. */
export async function readRecipes(layers: GoldenLayers): Promise<Map<string, Recipe>> {
  const json = await readJson(await layers.locate("single/recipes.json"));
  return new Map(Object.entries(z.record(z.string(), recipeSchema).parse(json)));
}

/** A tensor as it stands in a built file. */
type BuiltTensor = { dtype: StoredDtype; shape: readonly number[]; data: Uint8Array };

const mapSchema = z.record(
  z.string(),
  z.tuple([z.string(), z.enum(["copy", "transpose", "rows", "conv1x1"])], z.string()),
);

/** The tensors of a recipe's file. Order: map, times, dtype, ema, add, strip, prefix. */
async function buildTensors(recipe: Recipe, layers: GoldenLayers): Promise<Map<string, BuiltTensor>> {
  const built = await mappedTensors(recipe, layers);
  if (recipe.times !== undefined) for (const [name, t] of built) built.set(name, scaledBy(t, recipe.times));
  if (recipe.dtype !== undefined) for (const [name, t] of built) built.set(name, rounded(t, recipe.dtype));
  if (recipe.ema !== undefined) addAverages(built, recipe.ema);
  for (const tensor of recipe.add) built.set(tensor.name, addition(tensor, built));
  const { strip = "", prefix = "" } = recipe;
  return new Map(
    [...built].map(([name, t]) => [prefix + (name.startsWith(strip) ? name.slice(strip.length) : name), t]),
  );
}

/** The folder's tensors under their original names. */
async function mappedTensors(recipe: Recipe, layers: GoldenLayers): Promise<Map<string, BuiltTensor>> {
  const folder = await layers.complete(recipe.base);
  const map = mapSchema.parse(await readJson(await layers.locate(recipe.map)));
  const sets = new Map<string, WeightSet>();
  const built = new Map<string, BuiltTensor>();
  for (const [name, [part, operation, ...sources]] of Object.entries(map)) {
    if (recipe.parts && !recipe.parts.includes(part)) continue;
    const other = part === "unet" ? recipe.unet_file : undefined;
    const set =
      sets.get(part) ??
      presentNames(await resolveWeights(other ? await layers.locate(other) : path.join(folder, part)), part);
    sets.set(part, set);
    built.set(name, await operated(set, operation, sources));
  }
  return built;
}

/** Maps have Diffusers' present names; files may have older ones. */
const presentNames = (set: WeightSet, part: string): WeightSet =>
  renamed(set, part === "vae" ? currentVaeName : part.startsWith("text_encoder") ? clipName : (name) => name);

async function operated(set: WeightSet, operation: string, sources: readonly string[]): Promise<BuiltTensor> {
  const parts = await Promise.all(sources.map((name) => tensorOf(set, name)));
  const [first] = parts as [BuiltTensor];
  switch (operation) {
    case "transpose":
      return transposed(first);
    case "rows":
      return {
        dtype: first.dtype,
        shape: [first.shape[0]! * parts.length, ...first.shape.slice(1)],
        data: Buffer.concat(parts.map(({ data }) => data)),
      };
    case "conv1x1":
      return { ...first, shape: [...first.shape, 1, 1] };
    default:
      return first;
  }
}

async function tensorOf(set: WeightSet, name: string): Promise<BuiltTensor> {
  const { buffer, byteOffset, byteLength } = await readTensor(set, name);
  const { dtype, shape } = set.tensors.get(name)!;
  return { dtype, shape, data: new Uint8Array(buffer, byteOffset, byteLength) };
}

function transposed({ dtype, shape, data }: BuiltTensor): BuiltTensor {
  const [rows, columns] = shape as [number, number];
  const size = dtypeSizes[dtype];
  const out = new Uint8Array(data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      out.set(data.subarray((i * columns + j) * size, (i * columns + j + 1) * size), (j * rows + i) * size);
  return { dtype, shape: [columns, rows], data: out };
}

const floatsOf = ({ dtype, data }: BuiltTensor): Float32Array =>
  toFloat32(Uint8Array.from(data), dtype as FloatDtype);

function asDtype(values: Float32Array, shape: readonly number[], dtype: StoredDtype): BuiltTensor {
  const { buffer, byteOffset, byteLength } = fromFloat32(values, dtype as WritableDtype);
  return { dtype, shape, data: new Uint8Array(buffer, byteOffset, byteLength) };
}

/** Multiplied in float32, then back in its type. */
const scaledBy = (t: BuiltTensor, factor: number): BuiltTensor =>
  isFloatDtype(t.dtype)
    ? asDtype(
        floatsOf(t).map((x) => x * Math.fround(factor)),
        t.shape,
        t.dtype,
      )
    : t;

const rounded = (t: BuiltTensor, dtype: StoredDtype): BuiltTensor =>
  isFloatDtype(t.dtype) && t.dtype !== dtype ? asDtype(floatsOf(t), t.shape, dtype) : t;

/** LitEma's twins of the U-Net's tensors. */
function addAverages(built: Map<string, BuiltTensor>, factor: number): void {
  for (const [name, tensor] of [...built]) {
    if (!name.startsWith("model.")) continue;
    built.set(`model_ema.${name.slice("model.".length).replaceAll(".", "")}`, scaledBy(tensor, factor));
  }
}

function addition(t: z.infer<typeof added>, built: ReadonlyMap<string, BuiltTensor>): BuiltTensor {
  const size = t.shape.reduce((product, n) => product * n, 1);
  if (t.copy !== undefined) return { ...scaledBy(built.get(t.copy)!, t.times ?? 1), shape: t.shape };
  const values =
    t.values ?? Array.from({ length: size }, (_, i) => (t.arange === undefined ? (t.fill ?? 0) : i));
  if (t.dtype !== "I64") return asDtype(Float32Array.from(values), t.shape, t.dtype);
  return { dtype: "I64", shape: t.shape, data: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) };
}

/** SHA-256 over the sorted names, each with type and shape, and the bytes. */
function digestOf(tensors: ReadonlyMap<string, BuiltTensor>): string {
  const hash = createHash("sha256");
  for (const name of [...tensors.keys()].sort()) {
    const { dtype, shape, data } = tensors.get(name)!;
    hash.update(`${name}\n${dtype}\n${shape.join(",")}\n`).update(data);
  }
  return hash.digest("hex");
}

/** The bytes of a recipe's file. Throws where they are not what Python wrote. */
export async function buildFile(recipe: Recipe, layers: GoldenLayers): Promise<Uint8Array> {
  const tensors = await buildTensors(recipe, layers);
  if (tensors.size !== recipe.tensors)
    throw new Error(`must have ${recipe.tensors} tensors, got ${tensors.size}`);
  const digest = digestOf(tensors);
  if (digest !== recipe.digest) throw new Error(`must have the digest ${recipe.digest}, got ${digest}`);
  return serialize(tensors, recipe.metadata);
}

/** @file What stands in for a part, or is added to one, becomes a path: one that is there, or a place in the Hub's cache. */

import path from "node:path";
import { FileError, listed, ModelError } from "../errors.js";
import { isPickle, loraFiles } from "../weights/file-names.js";
import { refusePickle } from "../weights/safetensors-file.js";
import { type BringOptions, bring, type Plan } from "./bring.js";
import { filesUnder } from "./cache.js";
import { type HubPlace, hubPlace } from "./id.js";
import { kindHere } from "./resolve.js";
import { type PartKind, type PlacedSelection, selectPart, type WeightChoice } from "./select.js";

export type ResolvePartOptions = BringOptions &
  Pick<WeightChoice, "dtype"> & {
    /** What the caller calls the value, for errors. */
    field?: string | undefined;
  };

/**
 * The path of a part: `name` itself where it exists (of a folder of LoRAs, the one in it), else that of the Hub's
 * `owner/name[@revision][/file]` in the cache, downloaded as far as it is not there. InvalidRequest, ModelError,
 * Cancelled.
 */
export async function resolvePart(
  kind: PartKind,
  name: string,
  { field = kind, ...options }: ResolvePartOptions = {},
): Promise<string> {
  const there = await kindHere(name);
  if (there === "folder" && kind === "lora") return path.join(name, loraIn(name, await filesUnder(name)));
  if (there !== undefined) return name;
  const wanted = hubPlace(field, name);
  refusePickle(name);
  try {
    const { snapshot, chosen } = await bring(wanted, partPlan(kind, wanted, options.dtype), options);
    return path.join(snapshot, chosen.place);
  } catch (error) {
    if (!(error instanceof ModelError) || error instanceof FileError) throw error;
    throw new ModelError(name, `no such file here; on the Hub, ${error.message}`);
  }
}

function loraIn(folder: string, names: readonly string[]): string {
  const found = loraFiles(names);
  if (found.length === 1) return found[0]!;
  const got = found.length === 0 ? `got ${listed(names) || "an empty folder"}` : `got ${listed(found)}`;
  throw new ModelError(folder, `must hold one LoRA, ${got}. Pass the path of the file itself.`);
}

function partPlan(kind: PartKind, place: HubPlace, dtype: WeightChoice["dtype"]): Plan<PlacedSelection> {
  return {
    choose: async ({ names, has }) => selectPart(kind, place, names, { dtype, has }),
    refuse: (missing, names) =>
      new ModelError(place.id, absent(place.id, missing, names), { missing: [...missing] }),
  };
}

function absent(id: string, missing: readonly string[], names: readonly string[]): string {
  const safe = names.filter((name) => name.endsWith(".safetensors"));
  const rule = `must hold ${listed(missing)}`;
  if (safe.length > 0) return `${rule}, got ${listed(safe)}. Name one, as in ${id}/${safe[0]}.`;
  const got = names.some(isPickle) ? "weights that can run code when read" : listed(names) || "no files";
  return `${rule}, got ${got}. Use a repository that has safetensors.`;
}

/** What stands in for a pipeline's parts, or is added to them, by the names of the library's options. */
export type PartNames = {
  unet?: string;
  vae?: string;
  loras?: readonly { file: string; scale?: number }[];
};

/** The same with paths in the place of names on the Hub. */
export async function resolveParts(
  { unet, vae, loras }: PartNames,
  options: ResolvePartOptions = {},
): Promise<PartNames> {
  const files: { file: string; scale?: number }[] = [];
  for (const lora of loras ?? [])
    files.push({ ...lora, file: await resolvePart("lora", lora.file, { ...options, field: "loras" }) });
  return {
    ...(unet !== undefined && { unet: await resolvePart("unet", unet, options) }),
    ...(vae !== undefined && { vae: await resolvePart("vae", vae, options) }),
    ...(loras !== undefined && { loras: files }),
  };
}

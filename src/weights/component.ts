/** @file Finds the weights of one component of a model as Diffusers' from_pretrained does. */

import { listed, ModelError } from "../errors.js";
import { kindOf, readdir, readJson } from "../files/file-system.js";
import { join } from "../files/path.js";
import type { StoredArray } from "./dtype.js";
import { isPickle, isShard, type WeightFile, weightFiles } from "./file-names.js";
import { shardIndex } from "./index-file.js";
import {
  openSafetensors,
  readFloat32,
  readStored,
  refusePickle,
  type SafetensorsFile,
  type WeightEntry,
} from "./safetensors-file.js";
import { bytesOf, scaled, type WeightSet } from "./weight-set.js";

export type { WeightEntry, WeightSet };

/**
 * The weights in a folder, or in one .safetensors file. Without `variant`, plain files are preferred, then the only
 * variant of the folder. With `variant`, `orPlain` allows plain files where the folder does not have it. The result
 * names its variant. ModelError.
 */
export async function resolveWeights(
  folder: string,
  { variant, orPlain = false }: { variant?: string; orPlain?: boolean } = {},
): Promise<WeightSet> {
  const kind = await kindOf(folder);
  if (kind !== "folder") return weightsOfFile(await openSafetensors(folder));
  const names = (await readdir(folder)).sort();
  const chosen = selectWeights(folder, names, variant, orPlain);
  const path = join(folder, chosen.name);
  const set = await scaled(
    chosen.indexed ? await openShards(folder, path) : union([await openSafetensors(path)]),
  );
  return chosen.variant ? { ...set, variant: chosen.variant } : set;
}

/** All tensors of a file, with the factors of eight-bit weights attached to them. */
export const weightsOfFile = (file: SafetensorsFile): Promise<WeightSet> => scaled(union([file]));

/** A tensor in its own dtype (F16 and BF16 as bits, I64 as BigInt64Array); ModelError. */
export async function readTensor(set: WeightSet, name: string): Promise<StoredArray> {
  return readStored(entryOf(set, name));
}

/** A float tensor as float32; ModelError. */
export async function readFloats(set: WeightSet, name: string): Promise<Float32Array> {
  return readFloat32(name, entryOf(set, name));
}

function entryOf(set: WeightSet, name: string): WeightEntry {
  const entry = set.tensors.get(name);
  if (entry) return entry;
  const problem = `missing ${listed([name])} among ${set.tensors.size} tensors. Check that it is this model's file.`;
  throw new ModelError(set.files.join(", ") || "weights", problem, { missing: [name] });
}

function selectWeights(
  folder: string,
  names: readonly string[],
  variant: string | undefined,
  orPlain: boolean,
): WeightFile {
  const candidates = weightFiles(names);
  const accepted = [variant ?? "", ...(orPlain ? [""] : [])];
  for (const one of accepted) {
    const exact = candidates.find((c) => c.variant === one);
    if (exact) return exact;
  }
  const variants = [...new Set(candidates.map((c) => c.variant))];
  const first = candidates[0];
  if (!first) return noWeightsError(folder, names);
  if (variant === undefined && variants.length === 1) return first;
  const found = variants.map((v) => (v ? `variant "${v}"` : "plain files")).join(" and ");
  const named = `must hold variant "${variant}"${orPlain ? " or plain files" : ""}`;
  const rule = variant === undefined ? "has several variants" : named;
  const remedy = variant === undefined ? "Name one of them." : "Name one of those, or download the other.";
  throw new ModelError(folder, `${rule}, got ${found}. ${remedy}`);
}

function noWeightsError(folder: string, names: readonly string[]): never {
  const fail = (problem: string) => {
    throw new ModelError(folder, problem);
  };
  const rule = "must hold diffusion_pytorch_model.safetensors or model.safetensors";
  const some = (found: string[]) => `${rule}, got ${listed(found)}`;
  const shards = names.filter((n) => isShard(n));
  const others = names.filter((n) => n.endsWith(".safetensors"));
  const pickle = names.find(isPickle);
  if (shards.length)
    return fail(`${some(shards)} without their index. Download the .index.json beside them.`);
  if (others.length) return fail(`${some(others)}. Pass the path of the file itself.`);
  if (pickle) return refusePickle(join(folder, pickle)) as never;
  if (!names.length) return fail(`${rule}, got an empty folder. Download the model again.`);
  return fail(`${some([...names])}. Download the weights, or check the path.`);
}

async function openShards(folder: string, path: string): Promise<WeightSet> {
  const map = shardIndex(await readJson(path), path);
  const names = [...new Set(map.values())].sort();
  const kinds = await Promise.all(names.map((name) => kindOf(join(folder, name))));
  const absent = names.filter((_, i) => kinds[i] !== "file");
  if (absent.length) {
    const problem = `missing ${absent.length} of ${names.length} shards: ${listed(absent)}`;
    throw new ModelError(path, `${problem}. Download them again.`, { missing: absent });
  }
  const files = new Map<string, SafetensorsFile>();
  for (const name of names) files.set(name, await openSafetensors(join(folder, name)));
  const missing = [...map].filter(([tensor, name]) => !files.get(name)!.tensors.has(tensor)).map(([t]) => t);
  if (missing.length) {
    const problem = `missing ${missing.length} of ${map.size} tensors in the shards it names: ${listed(missing)}`;
    throw new ModelError(path, `${problem}. Download the index and its shards again, together.`, { missing });
  }
  return union([...files.values()]);
}

function union(files: readonly SafetensorsFile[]): WeightSet {
  const tensors = new Map<string, WeightEntry>();
  for (const file of files) {
    for (const [name, entry] of file.tensors) {
      const first = tensors.get(name);
      if (first) {
        const problem = `${listed([name])} must be in one shard, got it in ${first.file} too`;
        throw new ModelError(file.path, `${problem}. Download the shards again, all of one version.`);
      }
      tensors.set(name, { ...entry, file: file.path });
    }
  }
  return { tensors, files: files.map((file) => file.path), totalBytes: bytesOf(tensors) };
}

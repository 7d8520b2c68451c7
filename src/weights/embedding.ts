/**
 * @file Reads files of textual inversion (Gal et al., arXiv 2208.01618): vectors that stand for a token, in the forms of
 * AUTOMATIC1111, Diffusers, SDXL's trainers and OneTrainer. Does not check that a model has their width.
 */

import { listed, ModelError } from "../errors.js";
import { parse } from "../files/path.js";
import type { WeightEntry } from "./component.js";
import { isFloatDtype } from "./dtype.js";
import { fileKind } from "./file-kind.js";
import type { Header } from "./safetensors.js";
import { openSafetensors, readFloat32 } from "./safetensors-file.js";

/** The vectors of one token. Those of SDXL's two encoders have a tensor each. */
export type EmbeddingFile = {
  /** What the file calls it; the file's own name where it calls it nothing. */
  token: string;
  /** [n, width] or [width], each with its name in the file. */
  tensors: ReadonlyMap<EmbeddingEncoder, WeightEntry & { key: string }>;
};

/** Of which encoder a tensor is: the first, the second, or the one that the model has. */
type EmbeddingEncoder = "text_encoder" | "text_encoder_2" | "only";

/** Names that say the encoder but no token. */
const encoderKeys: Readonly<Record<string, EmbeddingEncoder>> = {
  emb_params: "only",
  clip_l: "text_encoder",
  clip_g: "text_encoder_2",
  text_encoders_0: "text_encoder",
  text_encoders_1: "text_encoder_2",
};

/** Whether a file with these tensors is one of a single token: by their names, or as it has but one. */
export const isEmbeddingFile = (keys: readonly string[]): boolean =>
  keys.length === 1 || (keys.length > 0 && keys.every((key) => Object.hasOwn(encoderKeys, key)));

/** OneTrainer's, of the embeddings that it bundles with a LoRA. */
const bundled = /^bundle_emb\.([^.]+)\.(.+)$/;

/**
 * Opens a file of one token; of OneTrainer's LoRAs, which may hold several, the one called `token`. ModelError for a file
 * that runs code, one of another kind, and tensors that are not vectors.
 */
export const openEmbedding = async (path: string, token?: string): Promise<EmbeddingFile> =>
  embeddingIn(path, await openSafetensors(path), token);

/** The same of the header of a file that is open. */
export function embeddingIn(path: string, file: Pick<Header, "tensors">, token?: string): EmbeddingFile {
  const keys = [...file.tensors.keys()];
  const bundles = keys.flatMap((key) => bundled.exec(key)?.[1] ?? []);
  if (bundles.length > 0) return ofBundle(path, file.tensors, [...new Set(bundles)], token);
  const known = keys.filter((key) => Object.hasOwn(encoderKeys, key));
  if (known.length > 0 && known.length === keys.length) {
    const tensors = known.map(
      (key) => [encoderKeys[key]!, entryOf(path, key, file.tensors.get(key)!)] as const,
    );
    return { token: parse(path).name, tensors: unique(path, tensors) };
  }
  const [only, ...rest] = keys;
  if (only === undefined || rest.length > 0 || known.length > 0) {
    const rule =
      "must hold the vectors of one token (emb_params; clip_l and clip_g; or one tensor that is called as the token)";
    const other = fileKind(keys);
    const remedy = other ? `It is ${other.what}. ${other.remedy}` : "Is it a textual inversion?";
    throw new ModelError(path, `${rule}, got ${listed(keys, 3) || "nothing"}. ${remedy}`);
  }
  return { token: only, tensors: new Map([["only", entryOf(path, only, file.tensors.get(only)!)]]) };
}

function ofBundle(
  path: string,
  all: ReadonlyMap<string, Omit<WeightEntry, "file">>,
  names: readonly string[],
  token: string | undefined,
): EmbeddingFile {
  const name = token ?? names[0]!;
  if (!names.includes(name) || (token === undefined && names.length > 1)) {
    const rule = `must hold the embedding ${token === undefined ? "alone" : `"${token}"`}, got ${listed(names)}`;
    throw new ModelError(path, `${rule}. Name one of them: NAME=FILE.`);
  }
  const tensors = [...all].flatMap(([key, entry]) => {
    const [, of, form] = bundled.exec(key) ?? [];
    if (of !== name) return [];
    const encoder = form !== undefined && Object.hasOwn(encoderKeys, form) ? encoderKeys[form]! : undefined;
    if (encoder === undefined)
      throw new ModelError(path, `${key}: must be clip_l or clip_g. Is it a newer kind of file?`);
    return [[encoder, entryOf(path, key, entry)] as const];
  });
  return { token: name, tensors: unique(path, tensors) };
}

function unique<T extends { key: string }>(
  path: string,
  entries: readonly (readonly [EmbeddingEncoder, T])[],
) {
  const tensors = new Map(entries);
  const both = entries.map(([, { key }]) => key);
  const mixed = tensors.has("only") && tensors.size > 1;
  if (tensors.size === entries.length && !mixed) return tensors;
  throw new ModelError(path, `must have one tensor for an encoder, got ${listed(both)}. Leave one out.`);
}

function entryOf(path: string, key: string, entry: Omit<WeightEntry, "file">): WeightEntry & { key: string } {
  const { shape, dtype } = entry;
  const isVectors = (shape.length === 1 || shape.length === 2) && shape.every((size) => size > 0);
  if (!isVectors || !isFloatDtype(dtype)) {
    const rule = `${key}: must be vectors [n, width] of a float dtype`;
    throw new ModelError(path, `${rule}, got ${dtype} [${shape.join(", ")}]. Is it a textual inversion?`);
  }
  return { ...entry, key, file: path };
}

/** The vectors of a tensor, [n * width]; ModelError for numbers that are not finite. */
export async function readVectors(
  { key, ...entry }: WeightEntry & { key: string },
  read = readFloat32,
): Promise<Float32Array> {
  const values = await read(key, entry);
  const wrong = values.find((value) => !Number.isFinite(value));
  if (wrong === undefined) return values;
  throw new ModelError(entry.file, `${key}: must hold finite numbers, got ${wrong}. Use another file.`);
}

/** @file Resolves the name of a U-Net, autoencoder, LoRA or embedding to a path: a local one, or one in the Hub's cache. */

import { FileError, listed, ModelError } from "../errors.js";
import path from "../files/path.js";
import { type FileKind, fileKinds, filesOfKind, isPickle } from "../weights/file-names.js";
import { refusePickle } from "../weights/safetensors-file.js";
import { filesUnder } from "./cache.js";
import { type HubPath, hubPath } from "./name.js";
import { pathKind, resolveModel } from "./resolve.js";
import { type ComponentKind, type ComponentSelection, isFileKind, selectComponent } from "./select.js";
import { ensureSnapshot, type SelectionPlan, type SnapshotOptions } from "./snapshot.js";

/** What `vae` names the TAESD by that lies beside a model: no path, and no name on the Hub. */
export const tinyVaeName = "tiny";

export type ResolveComponentOptions = SnapshotOptions & {
  /** The name of the value in errors. */
  field?: string | undefined;
};

/**
 * The path of a component: `name` itself where that path exists (for a folder with one LoRA or embedding, that file), otherwise the
 * path in the cache of the Hub's `owner/name[@revision][/file]`, of which missing files are downloaded. InvalidRequest,
 * ModelError, Cancelled.
 */
export async function resolveComponent(
  kind: ComponentKind,
  name: string,
  { field = kind, ...options }: ResolveComponentOptions = {},
): Promise<string> {
  if (kind === "vae" && name === tinyVaeName) return name;
  const there = await pathKind(name);
  if (there === "folder" && isFileKind(kind))
    return path.join(name, fileIn(kind, name, await filesUnder(name)));
  if (there !== undefined) return name;
  const hubName = hubPath(field, name);
  refusePickle(name);
  try {
    const plan = componentPlan(kind, hubName);
    const { folder: snapshot, selection } = await ensureSnapshot(hubName, plan, options);
    return path.join(snapshot, selection.path);
  } catch (error) {
    if (!(error instanceof ModelError) || error instanceof FileError) throw error;
    throw new ModelError(name, `no such file here; on the Hub, ${error.message}`);
  }
}

function fileIn(kind: FileKind, folder: string, names: readonly string[]): string {
  const found = filesOfKind(kind, names);
  if (found.length === 1) return found[0]!;
  const got = found.length === 0 ? `got ${listed(names) || "an empty folder"}` : `got ${listed(found)}`;
  throw new ModelError(
    folder,
    `must hold one ${fileKinds[kind].noun}, ${got}. Pass the path of the file itself.`,
  );
}

function componentPlan(kind: ComponentKind, place: HubPath): SelectionPlan<ComponentSelection> {
  return {
    select: async ({ names, has }) => selectComponent(kind, place, names, { has }),
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

/** Names of components that replace a pipeline's, of its LoRAs and of embeddings, as options of `fromPretrained`. */
export type ComponentNames = {
  unet?: string;
  vae?: string;
  textEncoder?: string;
  textEncoder2?: string;
  safetyChecker?: string | null;
  /** A model whose configs and tokenizers are taken. */
  config?: string;
  loras?: readonly { file: string; scale?: number }[];
  embeddings?: readonly { file: string; token?: string }[];
};

/** The same, with paths in place of names on the Hub. */
export async function resolveComponents(
  { unet, vae, textEncoder, textEncoder2, safetyChecker, config, loras, embeddings }: ComponentNames,
  options: ResolveComponentOptions = {},
): Promise<ComponentNames> {
  const resolved = async <T extends { file: string }>(kind: FileKind, all: readonly T[], field: string) => {
    const files: T[] = [];
    for (const one of all)
      files.push({ ...one, file: await resolveComponent(kind, one.file, { ...options, field }) });
    return files;
  };
  return {
    ...(unet !== undefined && { unet: await resolveComponent("unet", unet, options) }),
    ...(vae !== undefined && { vae: await resolveComponent("vae", vae, options) }),
    ...(textEncoder !== undefined && {
      textEncoder: await resolveComponent("text_encoder", textEncoder, { ...options, field: "textEncoder" }),
    }),
    ...(textEncoder2 !== undefined && {
      textEncoder2: await resolveComponent("text_encoder_2", textEncoder2, {
        ...options,
        field: "textEncoder2",
      }),
    }),
    ...(typeof safetyChecker === "string" && {
      safetyChecker: await resolveComponent("safety_checker", safetyChecker, {
        ...options,
        field: "safetyChecker",
      }),
    }),
    ...(config !== undefined && { config: await resolveModel(config, { ...options, configsOnly: true }) }),
    ...(loras !== undefined && { loras: await resolved("lora", loras, "loras") }),
    ...(embeddings !== undefined && { embeddings: await resolved("embedding", embeddings, "embeddings") }),
  };
}

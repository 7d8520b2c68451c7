/** @file Resolves a model's name to a folder: a local one, or a Hub repository's snapshot in the cache. */

import { InvalidRequest, listed, ModelError } from "../errors.js";
import { kindOf } from "../files/file-system.js";
import path from "../files/path.js";
import { isWeights } from "../weights/file-names.js";
import { type ModelIndex, modelIndex } from "../weights/index-file.js";
import { channelProblem, familyOfIndex } from "../weights/pipeline-class.js";
import { refusePickle } from "../weights/safetensors-file.js";
import { bundledFolder } from "./bundled-models.js";
import { hubModel, hubPath, isHubId } from "./name.js";
import { type Selection, selectFiles, type WeightChoice } from "./select.js";
import {
  ensureSnapshot,
  type Listing,
  type SelectionPlan,
  type SnapshotOptions,
  selectIn,
} from "./snapshot.js";

export type ResolveOptions = WeightChoice &
  SnapshotOptions & {
    /** Branch, tag or commit; "main" where neither this nor the name gives one. */
    revision?: string | undefined;
    /** Downloads all but the weights, which is enough to estimate memory. */
    configsOnly?: boolean | undefined;
  };

/**
 * The folder or single file of a model: `model` itself where that path exists, the folder of the bundled model of that
 * name (`koala-nano`), otherwise the snapshot in the cache of the Hub's `owner/name[@revision][/file.safetensors]`, of which missing files are downloaded. InvalidRequest, ModelError,
 * Cancelled.
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<string> {
  const local = (await pathKind(model)) ? model : bundledFolder(model);
  if (local !== undefined) {
    const { revision } = options;
    if (revision === undefined) return local;
    const rule = `must not be given with a folder of this machine, got ${JSON.stringify(revision)}.`;
    throw new InvalidRequest("revision", revision, `${rule} Only models on the Hub have revisions.`);
  }
  if (isWeights(model)) return singleFile(model, options);
  const named = hubModel(model, options.revision);
  return (await ensureSnapshot(named, modelPlan(named.id, options), options)).folder;
}

/** A single file in a repository: `owner/name[@revision]/file.safetensors`. */
async function singleFile(model: string, options: ResolveOptions): Promise<string> {
  const { inside, ...place } = hubPath("model", model);
  refusePickle(model);
  const revision = options.revision ?? place.revision;
  const plan: SelectionPlan = {
    select: async ({ names }) => ({
      files: names.includes(inside) ? [inside] : [],
      indexes: [],
      missing: names.includes(inside) ? [] : [inside],
    }),
    refuse: (missing, names) =>
      new ModelError(
        place.id,
        `must hold ${listed(missing)}, got ${listed(names.filter(isWeights)) || "no weights"}.`,
        {
          missing: [...missing],
        },
      ),
  };
  const { folder } = await ensureSnapshot({ id: place.id, revision }, plan, options);
  return path.join(folder, inside);
}

/** The kind of a path; undefined for a Hub id that cannot be looked up as a path. */
export async function pathKind(name: string): Promise<"file" | "folder" | undefined> {
  try {
    return await kindOf(name);
  } catch (error) {
    if (isHubId(name)) return undefined;
    throw error;
  }
}

/** The files of a pipeline that a snapshot lacks. */
export const missingFrom = async (snapshot: string): Promise<string[]> =>
  (await selectIn(snapshot, modelPlan(snapshot))).missing;

const indexName = "model_index.json";

function modelPlan(id: string, { configsOnly, ...choice }: ResolveOptions = {}): SelectionPlan {
  const isConfig = (file: string) => !file.endsWith(".safetensors");
  const choose = async (listing: Listing): Promise<Selection> => {
    const json = await listing.read(indexName);
    if (json === undefined) return { files: [], indexes: [], missing: [indexName] };
    const index = modelIndex(json, indexName);
    if (listing.complete) refuseOther(id, index);
    // Without the Hub a model opens without the checker that is not in the cache, which is said.
    const safetyChecker = choice.safetyChecker !== false && listing.complete;
    const selection = selectFiles(index, listing.names, { ...choice, safetyChecker, has: listing.has });
    if (listing.complete && selection.missing.length === 0) await refuseChannels(listing);
    if (!configsOnly) return selection;
    const { files, missing } = selection;
    return {
      files: files.filter(isConfig),
      indexes: [],
      missing: listing.complete ? missing : missing.filter(isConfig),
    };
  };
  return {
    select: choose,
    refuse: (missing, names) => new ModelError(id, incomplete(id, missing, names), { missing: [...missing] }),
  };
}

function incomplete(id: string, missing: readonly string[], names: readonly string[]): string {
  if (missing.includes(indexName)) return notDiffusers(id, names);
  const pickled = names.some(
    (name) => name.endsWith(".bin") && missing.includes(`${name.split("/")[0]}/*.safetensors`),
  );
  const got = pickled ? "weights in .bin files, which can run code when read" : "a repository without them";
  const checker = missing.some((file) => file.startsWith("safety_checker/"));
  const remedy = checker ? " Or open it without its safety checker: safetyChecker null, --safety off." : "";
  return `must hold ${listed(missing)}, got ${got}. Use a revision or a model that has safetensors.${remedy}`;
}

function notDiffusers(id: string, names: readonly string[]): string {
  const rule = `must be a Diffusers model with ${indexName}`;
  const checkpoint = names.find((name) => /^[^/]+\.safetensors$/.test(name));
  if (checkpoint)
    return `${rule}, got the single file ${listed([checkpoint])}. Name it: ${id}/${checkpoint}.`;
  return `${rule}, got ${names.length ? listed(names) : "no files"}. Use a text-to-image model that has one.`;
}

/** Refuses other architectures before their weights are downloaded. */
function refuseOther(id: string, index: ModelIndex): void {
  const unet = index.components.get("unet")?.className;
  if (unet !== "UNet2DConditionModel") {
    const problem = `${index.className} must have a unet of UNet2DConditionModel, got ${unet ?? "no unet"}`;
    throw new ModelError(id, `${problem}. Use KOALA, SDXL or Stable Diffusion 1 or 2.`);
  }
  familyOfIndex(index);
}

/** Refuses U-Nets that read more than the latents, before their weights are downloaded. */
async function refuseChannels({ read }: Listing): Promise<void> {
  const [unet, vae] = [await read("unet/config.json"), await read("vae/config.json")];
  const expected = vae?.latent_channels ?? 4;
  const got = unet?.in_channels ?? 4;
  if (typeof got === "number" && typeof expected === "number" && got !== expected)
    throw new ModelError("unet/config.json", channelProblem("in_channels", got, expected));
}

/** @file A model's name becomes a folder: one that is there, or the needed files of a Hub repository in the cache. */

import { listed, ModelError } from "../errors.js";
import { kindOf } from "../files/file-system.js";
import { type ModelIndex, modelIndex } from "../weights/index-file.js";
import { channelProblem, familyOfIndex } from "../weights/pipeline-class.js";
import { type BringOptions, bring, chosenIn, type Listing, type Plan } from "./bring.js";
import { hubModel, isHubId } from "./id.js";
import { type Selection, selectFiles, type WeightChoice } from "./select.js";

export type ResolveOptions = WeightChoice &
  BringOptions & {
    /** Branch, tag or commit; "main" where neither this nor the name says. */
    revision?: string | undefined;
    /** Brings everything but the weights: what a prediction needs. */
    configsOnly?: boolean | undefined;
  };

/**
 * The folder of a model: `model` itself where it is a path that exists, else that of the Hub's `owner/name[@revision]`
 * in the cache, downloaded as far as it is not there. InvalidRequest, ModelError, Cancelled.
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<string> {
  if (await kindHere(model)) return model;
  const named = hubModel(model, options.revision);
  return (await bring(named, modelPlan(named.id, options), options)).snapshot;
}

/** What a name is as a path; where the system refuses to look, a Hub id is still one. */
export async function kindHere(name: string): Promise<"file" | "folder" | undefined> {
  try {
    return await kindOf(name);
  } catch (error) {
    if (isHubId(name)) return undefined;
    throw error;
  }
}

/** What a folder lacks of what a pipeline needs. */
export const missingFrom = async (snapshot: string): Promise<string[]> =>
  (await chosenIn(snapshot, modelPlan(snapshot))).missing;

const indexName = "model_index.json";

function modelPlan(id: string, { configsOnly, ...choice }: ResolveOptions = {}): Plan {
  const isConfig = (file: string) => !file.endsWith(".safetensors");
  const choose = async (listing: Listing): Promise<Selection> => {
    const json = await listing.read(indexName);
    if (json === undefined) return { files: [], indexes: [], missing: [indexName] };
    const index = modelIndex(json, indexName);
    if (listing.whole) refuseOther(id, index);
    const selection = selectFiles(index, listing.names, { ...choice, has: listing.has });
    if (listing.whole && selection.missing.length === 0) await refuseChannels(listing);
    if (!configsOnly) return selection;
    const { files, missing } = selection;
    return {
      files: files.filter(isConfig),
      indexes: [],
      missing: listing.whole ? missing : missing.filter(isConfig),
    };
  };
  return {
    choose,
    refuse: (missing, names) => new ModelError(id, incomplete(missing, names), { missing: [...missing] }),
  };
}

function incomplete(missing: readonly string[], names: readonly string[]): string {
  if (missing.includes(indexName)) return notDiffusers(names);
  const pickled = names.some(
    (name) => name.endsWith(".bin") && missing.includes(`${name.split("/")[0]}/*.safetensors`),
  );
  const got = pickled ? "weights in .bin files, which can run code when read" : "a repository without them";
  return `must hold ${listed(missing)}, got ${got}. Use a revision or a model that has safetensors.`;
}

function notDiffusers(names: readonly string[]): string {
  const rule = `must be a Diffusers model with ${indexName}`;
  const checkpoint = names.find((name) => /^[^/]+\.(safetensors|ckpt)$/.test(name));
  if (checkpoint)
    return `${rule}, got the single file ${listed([checkpoint])}. Look for the same model as Diffusers has it.`;
  return `${rule}, got ${names.length ? listed(names) : "no files"}. Use a text-to-image model that has one.`;
}

/** Refuses other architectures before gigabytes of them are downloaded. */
function refuseOther(id: string, index: ModelIndex): void {
  const unet = index.parts.get("unet")?.className;
  if (unet !== "UNet2DConditionModel") {
    const problem = `${index.className} must have a unet of UNet2DConditionModel, got ${unet ?? "no unet"}`;
    throw new ModelError(id, `${problem}. Use KOALA, SDXL or Stable Diffusion 1 or 2.`);
  }
  familyOfIndex(index);
}

/** The same of U-Nets that read more than the latents. */
async function refuseChannels({ read }: Listing): Promise<void> {
  const [unet, vae] = [await read("unet/config.json"), await read("vae/config.json")];
  const wanted = vae?.latent_channels ?? 4;
  const got = unet?.in_channels ?? 4;
  if (typeof got === "number" && typeof wanted === "number" && got !== wanted)
    throw new ModelError("unet/config.json", channelProblem("in_channels", got, wanted));
}

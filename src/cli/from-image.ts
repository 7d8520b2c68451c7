/** @file `koala generate --from IMAGE`: finds the model and the files that an image was generated with. */

import path from "node:path";
import { openEngine } from "../engine/open-engine.js";
import { EngineError, type FileError, InvalidRequest, ModelError } from "../errors.js";
import type { Embedding } from "../pipeline/embeddings.js";
import type { LoadOptions } from "../pipeline/load-options.js";
import type { SavedRequest } from "../pipeline/metadata/read.js";
import { type ImageMetadata, type ModelMetadata, printable } from "../pipeline/metadata/schema.js";
import { componentName } from "../pipeline/metadata/write.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import { fileHash } from "../weights/fingerprint.js";
import { type DeviceFlags, deviceFlags, deviceNote, placeText } from "./device.js";
import { pathsOf, remember } from "./known-models.js";

/** The options that name models and files. */
export type Sources = {
  model?: string;
  variant?: string;
  unet?: string;
  vae?: string;
  textEncoder?: string;
  textEncoder2?: string;
  config?: string;
  tokenizer?: string;
  ema?: boolean;
  safetyChecker?: string;
  lora?: { file: string; scale: number }[];
  embedding?: Embedding[];
  image?: string;
  mask?: string;
};

type Say = (line: string) => void;

/** The options, completed with the files of the image, found by their hashes; InvalidRequest if one is not found. */
export async function sourcesOf(saved: SavedRequest, given: Sources, say: Say): Promise<Sources> {
  const { model, image, mask } = saved;
  const found = async (option: string, name: string | undefined, hash: string) => {
    for (const file of await pathsOf(hash)) if ((await hashIn(file)) === hash) return file;
    throw unknown(option, name ?? "pixels that a program had", hash);
  };
  /** Of unet and vae the fingerprint is compared when they are loaded. */
  const latestOf = async (option: string, component: { name: string; fingerprint: string }) => {
    const [latest] = await pathsOf(component.fingerprint);
    if (latest === undefined) throw unknown(option, component.name, component.fingerprint);
    return latest;
  };
  const source = async (option: string, own: string | undefined, recorded: ImageMetadata["image"]) => {
    if (own === undefined) return recorded && found(option, recorded.name, recorded.sha256);
    if (recorded && (await hashIn(own)) !== recorded.sha256)
      say(`${option}: another image than ${recorded.name ?? "the one generated from"}`);
    return own;
  };
  const loras = async () => {
    const all: { file: string; scale: number }[] = [];
    for (const { name, sha256, scale } of model?.loras ?? [])
      all.push({ file: await found("--lora", name, sha256), scale });
    return all.length > 0 ? all : undefined;
  };
  const embeddings = async () => {
    const all: { token: string; file: string }[] = [];
    for (const { token, name, sha256 } of model?.embeddings ?? [])
      all.push({ token, file: await found("--embedding", name, sha256) });
    return all.length > 0 ? all : undefined;
  };
  const all = {
    model: given.model,
    variant: given.variant ?? model?.variant,
    unet: given.unet ?? (model?.unet && (await latestOf("--unet", model.unet))),
    vae: given.vae ?? (model?.vae && (await latestOf("--vae", model.vae))),
    textEncoder:
      given.textEncoder ?? (model?.textEncoder && (await latestOf("--text-encoder", model.textEncoder))),
    textEncoder2:
      given.textEncoder2 ?? (model?.textEncoder2 && (await latestOf("--text-encoder-2", model.textEncoder2))),
    config: given.config ?? (model?.config && (await latestOf("--config", model.config))),
    tokenizer: given.tokenizer ?? (model?.tokenizer && (await latestOf("--tokenizer", model.tokenizer))),
    ema: given.ema ?? model?.ema,
    safetyChecker:
      given.safetyChecker ??
      (model?.safetyChecker && (await latestOf("--safety-checker", model.safetyChecker))),
    lora: given.lora ?? (await loras()),
    embedding: given.embedding ?? (await embeddings()),
    image: await source("--image", given.image, image),
    mask: await source("--mask", given.mask, mask),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Sources;
}

/** Where the image was generated, if that is here; else `auto`, which is said. What is `given` goes first. */
export async function placeOf(saved: SavedRequest, given: DeviceFlags, say: Say): Promise<DeviceFlags> {
  const { device = saved.device, dtype = saved.dtype, ...permitted } = deviceFlags(given);
  const weights = given.weights ?? saved.weights;
  const place = {
    ...permitted,
    ...(dtype !== undefined && { dtype }),
    ...(weights !== undefined && { weights }),
  };
  if (device === undefined) return place;
  if (given.device !== undefined || device === "cpu") return { ...place, device };
  try {
    await (await openEngine({ ...place, device })).close();
    return { ...place, device };
  } catch (error) {
    if (!(error instanceof EngineError || error instanceof InvalidRequest)) throw error;
    say(`generated on ${printable(device)}, which cannot be had here, so auto is taken: ${error.message}`);
    return { ...place, device: "auto" };
  }
}

/** What is to be said of the device that is used, and of the image's if it is another. */
export function placeNotes(pipeline: DiffusionPipeline, asked: DeviceFlags, saved?: SavedRequest): string[] {
  const { device, dtype, weights } = pipeline;
  const differs =
    saved?.exact && (saved.device !== device || saved.dtype !== dtype || saved.weights !== weights);
  const notes = [
    deviceNote(pipeline, asked.device),
    differs ? `generated on ${savedPlace(saved)}; this is ${placeText(pipeline)}` : undefined,
  ];
  return notes.filter((note) => note !== undefined);
}

const savedPlace = ({ device = "cpu", dtype = "float32", weights }: SavedRequest): string =>
  placeText({ device, dtype, weights });

/** Whether `--image` names another image than the saved request began with, whose size is then not the new one's. */
export async function beginsWithAnother(saved: SavedRequest, given: Sources): Promise<boolean> {
  return given.image !== undefined && (await hashIn(given.image)) !== saved.image?.sha256;
}

/** Options with which a model may not open although nothing is wrong with it. */
const replacements = [
  "unet",
  "vae",
  "textEncoder",
  "textEncoder2",
  "lora",
  "embedding",
  "config",
  "tokenizer",
  "safetyChecker",
] as const;

export const hasReplaced = (given: Sources): boolean =>
  replacements.some((name) => given[name] !== undefined);

/** Opens the image's model where it was seen last and still is; InvalidRequest if nowhere. */
export async function openSeen(
  saved: SavedRequest,
  { replaced, ...load }: LoadOptions & { replaced: boolean },
): Promise<{ pipeline: DiffusionPipeline; folder: string }> {
  const { model } = saved;
  for (const folder of model?.fingerprint ? await pathsOf(model.fingerprint) : []) {
    const pipeline = await opened(folder, load, replaced);
    if (!pipeline) continue;
    if (replaced || differences(saved, await pipeline.model()).length === 0) return { pipeline, folder };
    await pipeline.close();
  }
  const name = model?.id ?? model?.name;
  const from = model?.id ? `--model ${model.id}` : "--model with its folder";
  throw new InvalidRequest(
    "--model",
    undefined,
    name === undefined
      ? "must be given: the image does not name its model."
      : `must be given: the image's model ${name} was not seen on this machine, or was changed. Add ${from}.`,
  );
}

/** Undefined for a folder that no longer holds the model; other files may be at fault where some were given. */
async function opened(folder: string, load: LoadOptions, replaced: boolean) {
  try {
    return await DiffusionPipeline.fromPretrained(folder, load);
  } catch (error) {
    if (error instanceof ModelError && !replaced) return undefined;
    throw error;
  }
}

/** The components in which the loaded model differs from the image's. */
export function differences({ model }: SavedRequest, loaded: ModelMetadata): string[] {
  if (model?.fingerprint === undefined) return [];
  const loras = (of: Partial<ModelMetadata>) => of.loras?.map(({ sha256, scale }) => [sha256, scale]);
  const embeddings = (of: Partial<ModelMetadata>) =>
    (of.embeddings ?? []).map(({ token, sha256 }) => `${token} ${sha256}`);
  return [
    ...(model.fingerprint === loaded.fingerprint ? [] : ["model"]),
    ...(model.unet?.fingerprint === loaded.unet?.fingerprint ? [] : ["U-Net"]),
    ...(model.vae?.fingerprint === loaded.vae?.fingerprint ? [] : ["VAE"]),
    ...(model.textEncoder?.fingerprint === loaded.textEncoder?.fingerprint ? [] : ["text encoder"]),
    ...(model.textEncoder2?.fingerprint === loaded.textEncoder2?.fingerprint ? [] : ["text encoder 2"]),
    ...(JSON.stringify(loras(model)) === JSON.stringify(loras(loaded)) ? [] : ["LoRAs"]),
    ...(embeddings(model).every((one) => embeddings(loaded).includes(one)) ? [] : ["embeddings"]),
  ];
}

/** Notes where everything that an image was generated from is, for `--from`. */
export async function rememberSources(
  { model, image, mask }: ImageMetadata,
  folder: string,
  given: Sources,
): Promise<FileError | undefined> {
  const seen: (readonly [string | undefined, string | undefined])[] = [
    [model.fingerprint, folder],
    [model.unet?.fingerprint, given.unet],
    [model.vae?.fingerprint, given.vae],
    [model.textEncoder?.fingerprint, given.textEncoder],
    [model.textEncoder2?.fingerprint, given.textEncoder2],
    [model.config?.fingerprint, given.config],
    [model.tokenizer?.fingerprint, given.tokenizer],
    [model.safetyChecker?.fingerprint, given.safetyChecker],
    ...(given.lora ?? []).map(({ file }, i) => [model.loras?.[i]?.sha256, file] as const),
    ...(given.embedding ?? []).map((given) => [embeddingHash(model, given), given.file] as const),
    [image?.sha256, given.image],
    [mask?.sha256, given.mask],
  ];
  return remember(
    seen.filter((pair): pair is readonly [string, string] => pair.every((v) => v !== undefined)),
  );
}

/** The hash of a given embedding that the image recorded; undefined for one that its prompts do not name. */
function embeddingHash({ embeddings = [] }: ModelMetadata, given: Embedding): string | undefined {
  const name = componentName(given.file);
  return embeddings.find((one) => one.name === name && one.token === (given.token ?? one.token))?.sha256;
}

/** The default name of an image that is generated from another. */
export function againName(file: string): string {
  const { name, ext } = path.parse(file);
  return `${name}-again${/^\.(png|jpe?g|webp)$/i.test(ext) ? ext : ".png"}`;
}

const hashIn = (file: string): Promise<string | undefined> =>
  fileHash(file).catch((error: unknown) => {
    if (error instanceof ModelError) return undefined;
    throw error;
  });

function unknown(option: string, name: string, hash: string): InvalidRequest {
  const rule = `must be given: the image was generated with ${name} (${hash.slice(0, 19)}), which was not seen here`;
  return new InvalidRequest(option, undefined, `${rule}, or was changed. Add ${option} with its file.`);
}

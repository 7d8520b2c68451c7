/** @file A diffusers folder becomes parts that can run: configs read, weights found, nothing loaded yet. */

import { readdir } from "node:fs/promises";
import path from "node:path";
import { type Scheduler, schedulerFromConfig } from "../diffusion/scheduler.js";
import type { Engine } from "../engine/engine.js";
import { ModelError } from "../errors.js";
import { clipConfig, clipText } from "../models/clip.js";
import { currentTinyName, tinyDecode, tinyEncode, tinyVaeConfig } from "../models/tiny-vae.js";
import { traceUnet } from "../models/trace.js";
import { type UNetConfig, unetConfig } from "../models/unet-config.js";
import { currentVaeName, decode, encode, vaeConfig } from "../models/vae.js";
import { manifest, type Params } from "../tensor/params.js";
import { input, type Tensor } from "../tensor/tensor.js";
import { type ClipTokenizer, loadTokenizer } from "../text/tokenizer.js";
import { renamed, resolveWeights, type WeightEntry, type WeightSet } from "../weights/component.js";
import { kindOf, readJson, readText } from "../weights/files.js";
import { type ModelFolder, type ModelPart, openFolder } from "../weights/folder.js";
import type { JsonObject } from "../weights/json.js";
import { type Lora, loraChanges } from "./lora.js";
import { Part, type Trace } from "./part.js";
import type { TextEncoder } from "./text.js";

export type Denoiser = { part: Part; config: UNetConfig; trace: Trace };

/** An autoencoder of either kind, behind one pair of functions. */
export type Autoencoder = {
  part: Part;
  /** Its `config.json`. */
  config: JsonObject;
  /** What `encode` gives. */
  encodes: "moments" | "latents";
  latentChannels: number;
  scalingFactor: number;
  /** Pixels per latent pixel. */
  factor: number;
  /** image: [B, 3, H, W] -> what the network gives; `AutoencoderKL` mean and log-variance, `AutoencoderTiny` latents */
  encode: (p: Params, image: Tensor) => Tensor;
  decode: (p: Params, latents: Tensor) => Tensor;
};

export type Components = {
  folder: ModelFolder;
  unet: Denoiser;
  vae: Autoencoder;
  textEncoders: readonly TextEncoder[];
  scheduler: Scheduler;
  /** What the networks are changed by when they are loaded. */
  loras: readonly Lora[];
};

export type ComponentOptions = {
  engine: Engine;
  /** File variant such as "fp16", for every part; without it the plain files, else the only variant there is. */
  variant?: string;
  /** Which stored precision to take where a part has both; arithmetic on the CPU is float32 either way. */
  dtype?: "float32" | "float16";
  /** A bare U-Net state dict to use with the folder's U-Net config, as SDXL-Lightning ships. */
  unet?: string;
  /** Another autoencoder: a folder with its config.json, or TAESD's decoder file, with the encoder's beside it. */
  vae?: string;
  /** Added to the weights of U-Net and text encoders, all of them together. */
  loras?: readonly Lora[];
  /** Describes the folder's weights by its configs alone: enough to predict with, not to run. */
  configsOnly?: boolean;
};

/** Reads everything but the weights themselves; throws a ModelError that names the file and what to do. */
export async function loadComponents(at: string, options: ComponentOptions): Promise<Components> {
  const folder = await openFolder(at);
  const encoders = folder.parts.has("text_encoder_2") ? ["text_encoder", "text_encoder_2"] : ["text_encoder"];
  const components = {
    folder,
    unet: await loadUnet(folder, options),
    vae: await loadVae(folder, options),
    textEncoders: await Promise.all(encoders.map((name) => loadTextEncoder(folder, name, options))),
    scheduler: await loadScheduler(folder),
    loras: options.loras ?? [],
  };
  return components.loras.length > 0 ? withLoras(components) : components;
}

async function withLoras(components: Components): Promise<Components> {
  const { unet, textEncoders, loras } = components;
  const networks = [
    { name: "unet", weights: unet.part.weights, config: unet.config },
    ...textEncoders.map(({ part: { name, weights } }) => ({ name, weights })),
  ];
  const changes = await loraChanges(loras, networks);
  const changed = <T extends { part: Part }>(owner: T): T => ({
    ...owner,
    part: owner.part.changed(changes.get(owner.part.name)!),
  });
  return { ...components, unet: changed(unet), textEncoders: textEncoders.map(changed) };
}

async function loadScheduler(folder: ModelFolder): Promise<Scheduler> {
  const { className, config } = folder.part("scheduler");
  const json = await config();
  const scheduler = schedulerFromConfig(json, {}, json._class_name === undefined ? className : undefined);
  if (folder.className !== "StableDiffusionPipeline") return scheduler;
  // Diffusers' SD pipeline mends two settings of old files when it is made.
  const { stepsOffset, clipSample } = scheduler.config;
  const mended = {
    ...(stepsOffset !== undefined && stepsOffset !== 1 && { steps_offset: 1 }),
    ...(clipSample === true && { clip_sample: false }),
  };
  return Object.keys(mended).length > 0 ? schedulerFromConfig(scheduler.config, mended) : scheduler;
}

/** The weights in a part's directory, by the variant that the options ask for; `trace` is the network they are of. */
async function weightsIn(
  directory: string,
  { variant, dtype, configsOnly }: ComponentOptions,
  trace: (p: Params) => unknown,
): Promise<WeightSet> {
  if (configsOnly) return described(trace);
  if (variant !== undefined) return resolveWeights(directory, { variant });
  const half = dtype === "float16" && (await readdir(directory)).some((name) => name.includes(".fp16."));
  return resolveWeights(directory, half ? { variant: "fp16" } : {});
}

/** What a network asks for, as weights that lie nowhere. */
function described(trace: (p: Params) => unknown): WeightSet {
  const tensors = new Map<string, WeightEntry>();
  for (const [name, shape] of manifest(trace))
    tensors.set(name, { dtype: "F32", shape: [...shape], offset: 0, length: 0, file: "" });
  return { tensors, files: [], totalBytes: 0 };
}

async function loadUnet(folder: ModelFolder, options: ComponentOptions): Promise<Denoiser> {
  const found = expect(folder, "unet", ["UNet2DConditionModel"]);
  const config = unetConfig(await found.config(), "unet/config.json");
  const trace = (p: Params) => ({ out: traceUnet(p, config) });
  const weights = await (options.unet ? resolveWeights(options.unet) : weightsIn(found.path, options, trace));
  const file = options.unet ? path.basename(options.unet) : label("unet", weights.files);
  const part = new Part("unet", file, weights, options.engine);
  return { part, config, trace };
}

/** The width of text that the cross-attentions read. */
export const textWidth = (c: UNetConfig): number => c.up.at(-1)!.textWidth;

async function loadVae(folder: ModelFolder, options: ComponentOptions): Promise<Autoencoder> {
  const { vae: override, engine } = options;
  if (override?.endsWith(".safetensors")) return loadTaesd(override, engine);
  const kinds = ["AutoencoderKL", "AutoencoderTiny"];
  const own = override === undefined ? expect(folder, "vae", kinds) : undefined;
  const directory = override ?? own!.path;
  const file = path.join(override ?? "vae", "config.json");
  const json = await readJson(path.join(directory, "config.json"));
  const inside = override === undefined ? options : { engine, configsOnly: options.configsOnly === true };
  const whole = async (networks: Omit<Autoencoder, "part">, rename = (name: string) => name) => {
    const weights = renamed(await weightsIn(directory, inside, autoencoding(networks)), rename);
    return { ...networks, part: new Part("vae", label(override ?? "vae", weights.files), weights, engine) };
  };
  const className = json._class_name ?? own?.className;
  if (className === "AutoencoderTiny") return whole(tiny(json, file));
  if (className !== "AutoencoderKL") {
    throw new ModelError(
      file,
      `_class_name: must be ${kinds.join(" or ")}, got ${JSON.stringify(className)}.`,
    );
  }
  const c = vaeConfig(json, file);
  const networks: Omit<Autoencoder, "part"> = {
    config: json,
    encodes: "moments",
    latentChannels: c.latentChannels,
    scalingFactor: c.scalingFactor,
    factor: 2 ** (c.channels.length - 1),
    encode: (p, image) => encode(p, c, image),
    decode: (p, latents) => decode(p, c, latents),
  };
  return whole(networks, currentVaeName);
}

/** Both halves of an autoencoder. */
const autoencoding =
  ({ encode, decode, latentChannels }: Omit<Autoencoder, "part">) =>
  (p: Params) => [
    encode(p, input("image", [1, 3, 64, 64])),
    decode(p, input("latents", [1, latentChannels, 8, 8])),
  ];

function tiny(json: JsonObject, file: string): Omit<Autoencoder, "part"> {
  const c = tinyVaeConfig(json, file);
  return {
    config: json,
    encodes: "latents",
    latentChannels: c.latentChannels,
    scalingFactor: c.scalingFactor,
    factor: 2 ** (c.encoder.length - 1),
    encode: (p, image) => tinyEncode(p, c, image),
    decode: (p, latents) => tinyDecode(p, c, latents),
  };
}

/**
 * TAESD's own decoder file, which has no config: it is the published shape. The encoder's file, which only a picture to
 * begin with needs, is taken from beside it.
 */
async function loadTaesd(file: string, engine: Engine): Promise<Autoencoder> {
  const given = await resolveWeights(file);
  const name = path.basename(file);
  if (given.tensors.has("0.weight")) {
    const remedy = "Give the decoder's: the encoder's is found beside it.";
    throw new ModelError(name, `must be TAESD's decoder, got the file of its encoder. ${remedy}`);
  }
  const decoder = renamed(given, (old) => currentTinyName(old, "decoder"));
  const other = name.replace("decoder", "encoder");
  const beside = path.join(path.dirname(file), other);
  const paired = other !== name && (await kindOf(beside)) === "file";
  const weights = paired ? joined(await taesdEncoder(beside), decoder) : decoder;
  const networks = tiny({}, "AutoencoderTiny's defaults");
  const part = new Part("vae", name, weights, engine);
  if ([...weights.tensors.keys()].some((key) => key.startsWith("encoder."))) return { ...networks, part };
  const encode = () => {
    const missing = `Put ${other === name ? "the encoder's file" : other} beside it, or give a folder that holds both.`;
    throw new ModelError(
      name,
      `must hold an encoder to begin with a picture, got the decoder alone. ${missing}`,
    );
  };
  return { ...networks, part, encode };
}

const taesdEncoder = async (file: string) =>
  renamed(await resolveWeights(file), (old) => currentTinyName(old, "encoder"));

const joined = (a: WeightSet, b: WeightSet): WeightSet => ({
  tensors: new Map([...a.tensors, ...b.tensors]),
  files: [...a.files, ...b.files],
  totalBytes: a.totalBytes + b.totalBytes,
});

async function loadTextEncoder(
  folder: ModelFolder,
  name: string,
  options: ComponentOptions,
): Promise<TextEncoder> {
  const found = expect(folder, name, ["CLIPTextModel", "CLIPTextModelWithProjection"]);
  const projected = found.className === "CLIPTextModelWithProjection";
  const config = clipConfig(await found.config(), { projected, file: `${name}/config.json` });
  const ids = input("ids", [1, config.maxTokens], "int64");
  const weights = await weightsIn(found.path, options, (p) => clipText(p, config, ids));
  const part = new Part(name, label(name, weights.files), weights, options.engine);
  const beside = name.replace("text_encoder", "tokenizer");
  return {
    part,
    config,
    tokenizer: await readTokenizer(expect(folder, beside, ["CLIPTokenizer", "CLIPTokenizerFast"])),
  };
}

/** Reads whichever files of a tokenizer are there; the tokenizer says what it lacks. */
async function readTokenizer({ path: directory }: ModelPart): Promise<ClipTokenizer> {
  const at = (name: string) => path.join(directory, name);
  const json = async (name: string) => ((await kindOf(at(name))) ? readJson(at(name)) : undefined);
  const [config, specialTokensMap, addedTokens, vocab] = [
    await json("tokenizer_config.json"),
    await json("special_tokens_map.json"),
    await json("added_tokens.json"),
    await json("vocab.json"),
  ];
  const words = vocab
    ? { vocab, merges: await readText(at("merges.txt")) }
    : { tokenizerJson: await readJson(at("tokenizer.json")) };
  return loadTokenizer({
    ...words,
    ...(config && { config }),
    ...(specialTokensMap && { specialTokensMap }),
    ...(addedTokens && { addedTokens }),
    folder: directory,
  });
}

/** The part of that name, which must be of one of these classes. */
function expect(folder: ModelFolder, name: string, classes: readonly string[]): ModelPart {
  const found = folder.part(name);
  if (classes.includes(found.className)) return found;
  throw new ModelError(
    "model_index.json",
    `${name}: must be ${classes.join(" or ")}, got ${found.className}. Other classes are not supported.`,
  );
}

const label = (part: string, files: readonly string[]) =>
  files.length === 0
    ? part
    : files.length === 1
      ? `${part}/${path.basename(files[0]!)}`
      : `${part} (${files.length} shards)`;

/** @file Opens the components of a diffusers folder: reads the configs and finds the weights, loads nothing. */

import path from "node:path";
import { schedulerFromConfig } from "../diffusion/schedulers/registry.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import type { Engine } from "../engine/engine.js";
import { ModelError } from "../errors.js";
import { kindOf, readJson, readText } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { clipConfig, clipName, clipText } from "../models/clip.js";
import { traceUnet } from "../models/trace.js";
import { type UNetConfig, unetConfig } from "../models/unet-config.js";
import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import { type ClipTokenizer, loadTokenizer } from "../text/tokenizer.js";
import { renamed, resolveWeights } from "../weights/component.js";
import { plainFiles } from "../weights/file-names.js";
import { type ModelComponent, type ModelFolder, openFolder } from "../weights/folder.js";
import { channelProblem, type Family, familyOfIndex } from "../weights/pipeline-class.js";
import { type Autoencoder, loadVae } from "./autoencoder.js";
import { Component, type Trace } from "./component.js";
import { expectComponent, label, openReplacement, type WeightOptions, weightsIn } from "./component-files.js";
import { type NamedEmbedding, withEmbeddings } from "./embeddings.js";
import type { LoadOptions } from "./load-options.js";
import { type Adaptable, type Lora, loraChanges } from "./lora.js";
import { defaultScheduler, readModelDefaults, type SourcedDefaults } from "./model-defaults.js";
import type { TextEncoder } from "./text-encoding.js";

export type Denoiser = {
  component: Component;
  config: UNetConfig;
  trace: Trace;
  /** The config.json of a U-Net that replaces the folder's, and its path. */
  replaced?: { json: JsonObject; file: string };
};

export type Components = {
  folder: ModelFolder;
  family: Family;
  unet: Denoiser;
  vae: Autoencoder;
  textEncoders: readonly TextEncoder[];
  /** The folder's own, with what is recommended for the model. */
  scheduler: Scheduler;
  /** What is recommended for the model. */
  defaults: SourcedDefaults;
  /** The size in pixels that the model was trained at. */
  trainedSize: { width: number; height: number };
  /** Added to the weights when they are loaded. */
  loras: readonly Lora[];
  /** The textual inversions that prompts may name. */
  embeddings: readonly NamedEmbedding[];
  /** What of the options was changed or left out. */
  warnings: readonly string[];
};

export type ComponentOptions = WeightOptions &
  Pick<LoadOptions, "unet" | "vae" | "loras" | "embeddings"> & { engine: Engine };

/** Reads everything but the weights themselves; throws a ModelError that names the file and what to do. */
export async function loadComponents(directory: string, options: ComponentOptions): Promise<Components> {
  const folder = await openFolder(directory);
  const family = familyOfIndex(folder);
  const encoders = folder.components.has("text_encoder_2")
    ? ["text_encoder", "text_encoder_2"]
    : ["text_encoder"];
  const warnings: string[] = [];
  const defaults = await readModelDefaults(folder.path);
  const unet = await loadUnet(folder, family, options);
  const vae = await loadVae(folder, options);
  const texts = await Promise.all(encoders.map((name) => loadTextEncoder(folder, name, options)));
  const { encoders: textEncoders, named } = await withEmbeddings(texts, options.embeddings ?? []);
  const components = {
    folder,
    family,
    unet,
    vae,
    textEncoders,
    scheduler: defaultScheduler(await loadScheduler(folder, family), defaults),
    defaults,
    trainedSize: trainedSize(unet.config, vae.factor),
    loras: options.loras ?? [],
    embeddings: named,
    warnings,
  };
  checkChannels(components, options);
  checkVariant(components, options, warnings);
  return components.loras.length > 0 ? withLoras(components, warnings) : components;
}

/** The U-Net must have the autoencoder's channels, by its config and by its weights. */
function checkChannels({ unet, vae }: Components, { vae: other }: ComponentOptions): void {
  const wanted = vae.latentChannels;
  const { inChannels, outChannels } = unet.config;
  if (other !== undefined && inChannels === outChannels && inChannels !== wanted) {
    const rule = `latent_channels: must be ${inChannels}, the U-Net's in_channels, got ${wanted}`;
    throw new ModelError(vae.component.file, `${rule}. Use an autoencoder that was made for this model.`);
  }
  const { tensors } = unet.component.weights;
  const file = unet.replaced?.file ?? "unet/config.json";
  const found = [
    ["in_channels", inChannels, file],
    ["out_channels", outChannels, file],
    ["in_channels", tensors.get("conv_in.weight")?.shape[1] ?? wanted, unet.component.file],
    ["out_channels", tensors.get("conv_out.weight")?.shape[0] ?? wanted, unet.component.file],
  ] as const;
  const wrong = found.find(([, channels]) => channels !== wanted);
  if (wrong) throw new ModelError(wrong[2], channelProblem(wrong[0], wrong[1], wanted));
}

/** One component at least must have the variant; the other files of the others are used, as in Diffusers, with a warning. */
function checkVariant(components: Components, options: ComponentOptions, warnings: string[]): void {
  const { variant, configsOnly, unet, vae } = options;
  if (variant === undefined || configsOnly) return;
  const loaded = [
    ...components.textEncoders.map(({ component }) => component),
    ...(unet === undefined ? [components.unet.component] : []),
    ...(vae === undefined ? [components.vae.component] : []),
  ];
  const variantOf = ({ weights }: Component) => weights.variant ?? plainFiles;
  const others = loaded.filter((component) => variantOf(component) !== variant);
  const found = [...new Set(others.map(variantOf))].join(" and ");
  if (others.length === loaded.length) {
    const rule = `must hold variant "${variant}" of a component, got ${found} files alone`;
    throw new ModelError(components.folder.path, `${rule}. Leave the variant out, or download it.`);
  }
  if (others.length > 0) {
    const names = others.map(({ name }) => name).join(", ");
    warnings.push(`variant: ${names} have none called "${variant}", so their ${found} files are used`);
  }
}

/** The networks that LoRAs may change. */
export const adaptableNetworks = ({ unet, textEncoders }: Components): Adaptable[] => [
  { name: "unet", weights: unet.component.weights, config: unet.config },
  ...textEncoders.map(({ component: { name, weights } }) => ({ name, weights })),
];

async function withLoras(components: Components, warnings: string[]): Promise<Components> {
  const { unet, textEncoders, loras } = components;
  const changes = await loraChanges(loras, adaptableNetworks(components), (message) =>
    warnings.push(message),
  );
  const changed = <T extends { component: Component }>(owner: T): T => ({
    ...owner,
    component: owner.component.changed(changes.get(owner.component.name)!),
  });
  return { ...components, unet: changed(unet), textEncoders: textEncoders.map(changed) };
}

async function loadScheduler(folder: ModelFolder, family: Family): Promise<Scheduler> {
  const { className, config } = folder.component("scheduler");
  const json = await config();
  const scheduler = schedulerFromConfig(json, {}, json._class_name === undefined ? className : undefined);
  if (family !== "sd") return scheduler;
  // Diffusers' SD pipeline corrects two settings of old files.
  const { stepsOffset, clipSample } = scheduler.config;
  const corrected = {
    ...(stepsOffset !== undefined && stepsOffset !== 1 && { steps_offset: 1 }),
    ...(clipSample === true && { clip_sample: false }),
  };
  return Object.keys(corrected).length > 0 ? schedulerFromConfig(scheduler.config, corrected) : scheduler;
}

async function loadUnet(folder: ModelFolder, family: Family, options: ComponentOptions): Promise<Denoiser> {
  const classes = ["UNet2DConditionModel"];
  const own = expectComponent(folder, "unet", classes);
  const other = options.unet === undefined ? undefined : await openReplacement(options.unet, "unet", classes);
  const { json, file } = other?.config ?? { json: await own.config(), file: "unet/config.json" };
  const config = unetConfig(family === "sd" ? correctedUnet(json) : json, file);
  const trace = (p: Params) => ({ out: traceUnet(p, config) });
  const weights = await (other ? resolveWeights(other.location) : weightsIn(own.path, options, trace));
  const weightsFile = other ? path.basename(other.location) : label("unet", weights.files);
  const component = new Component("unet", weightsFile, weights, options.engine);
  return { component: component, config, trace, ...(other?.config && { replaced: other.config }) };
}

/** Diffusers' SD pipeline corrects a sample size below 64 in configs written before version 0.9. */
function correctedUnet(json: JsonObject): JsonObject {
  const { _diffusers_version: version, sample_size: size } = json;
  const isOld = typeof version === "string" && /^0\.[0-8](\.|$)/.test(version);
  return isOld && typeof size === "number" && size < 64 ? { ...json, sample_size: 64 } : json;
}

/** Diffusers' pipelines take a `sample_size` of 64 where the config has none. */
function trainedSize({ sampleSize }: UNetConfig, factor: number): Components["trainedSize"] {
  const { height, width } = sampleSize ?? { height: 64, width: 64 };
  return { height: height * factor, width: width * factor };
}

async function loadTextEncoder(
  folder: ModelFolder,
  name: string,
  options: ComponentOptions,
): Promise<TextEncoder> {
  const found = expectComponent(folder, name, ["CLIPTextModel", "CLIPTextModelWithProjection"]);
  const projected = found.className === "CLIPTextModelWithProjection";
  const config = clipConfig(await found.config(), { projected, file: `${name}/config.json` });
  const ids = input("ids", [1, config.maxTokens], "int64");
  const weights = renamed(await weightsIn(found.path, options, (p) => clipText(p, config, ids)), clipName);
  const component = new Component(name, label(name, weights.files), weights, options.engine);
  const beside = name.replace("text_encoder", "tokenizer");
  return {
    component: component,
    config,
    tokenizer: await readTokenizer(expectComponent(folder, beside, ["CLIPTokenizer", "CLIPTokenizerFast"])),
  };
}

/** Reads the files of a tokenizer that are there; the tokenizer says which are missing. */
async function readTokenizer({ path: directory }: ModelComponent): Promise<ClipTokenizer> {
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

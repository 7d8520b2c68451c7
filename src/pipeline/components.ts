/** @file Opens the components of a diffusers folder: reads the configs and finds the weights, loads nothing. */

import { schedulerFromConfig } from "../diffusion/schedulers/registry.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { InvalidRequest, listed, ModelError } from "../errors.js";
import { kindOf } from "../files/file-system.js";
import path from "../files/path.js";
import type { UNetConfig } from "../models/unet-config.js";
import { plainFiles } from "../weights/file-names.js";
import { openFolder } from "../weights/folder.js";
import type { ModelSource } from "../weights/model-source.js";
import { channelProblem, type Family, familyOfIndex } from "../weights/pipeline-class.js";
import { type Autoencoder, loadVae } from "./autoencoder.js";
import type { Component } from "./component.js";
import type { ComponentOptions } from "./component-files.js";
import { type NamedEmbedding, withEmbeddings } from "./embeddings.js";
import { loadTextEncoder, loadTokenizerOf } from "./load-text-encoder.js";
import { type Denoiser, loadUnet } from "./load-unet.js";
import type { Adaptable, Lora } from "./lora.js";
import { type LoraSampling, loraSampling } from "./lora-sampling.js";
import { defaultScheduler, readModelDefaults, type SourcedDefaults } from "./model-defaults.js";
import type { SafetyChecker } from "./safety-checker.js";
import type { SingleFileOptions } from "./single-file/open.js";
import type { TextEncoderName } from "./single-file/parts.js";
import type { TextEncoder, TextNetwork } from "./text-encoding.js";
import { findTinyVae } from "./tiny-vae.js";

/** What a model is made of, without what reads prompts. */
export type Networks = {
  folder: ModelSource;
  family: Family;
  unet: Denoiser;
  vae: Autoencoder;
  textEncoders: readonly TextNetwork[];
  /** What flags images, where the model has one or it was named. */
  safetyChecker: SafetyChecker | undefined;
  /** The folder's own, with what is recommended for the model. */
  scheduler: Scheduler;
  /** What is recommended for the model. */
  defaults: SourcedDefaults;
  /** The size in pixels that the model was trained at. */
  trainedSize: { width: number; height: number };
  /** The TAESD beside the model, which takes the autoencoder's place where `vae` is "tiny". */
  tinyVae?: string | undefined;
  /** Added to the weights when they are loaded. */
  loras: readonly Lora[];
  /** How to generate with one of them that was distilled to few steps. */
  sampling?: LoraSampling | undefined;
  /** What of the options was changed or left out. */
  warnings: readonly string[];
};

export type Components = Omit<Networks, "textEncoders"> & {
  textEncoders: readonly TextEncoder[];
  /** The textual inversions that prompts may name. */
  embeddings: readonly NamedEmbedding[];
};

/** Reads everything but the weights themselves; throws a ModelError that names the file and what to do. */
export async function loadComponents(model: string, options: ComponentOptions): Promise<Components> {
  const networks = await loadNetworks(model, options);
  const texts = await Promise.all(
    networks.textEncoders.map(async (encoder) => {
      const tokenizer = await loadTokenizerOf(networks.folder, encoder.component.name);
      return { ...encoder, tokenizer };
    }),
  );
  const { encoders: textEncoders, named: embeddings } = await withEmbeddings(texts, options.embeddings ?? []);
  return { ...networks, textEncoders, embeddings };
}

/** The same for who reads no prompt: without tokenizers, which of a single file may have to be downloaded. */
export async function loadNetworks(model: string, options: ComponentOptions): Promise<Networks> {
  const folder = await openModel(model, options);
  const family = familyOfIndex(folder);
  const encoders: readonly TextEncoderName[] = folder.components.has("text_encoder_2")
    ? ["text_encoder", "text_encoder_2"]
    : ["text_encoder"];
  refuseAbsent(folder, options);
  const warnings = skippedWarnings(folder);
  if (folder.className.includes("ControlNet"))
    warnings.push(
      "controlnet: the folder's ControlNet is not supported and not used; the rest of the model is",
    );
  const defaults = await readModelDefaults(folder.path, options.config);
  const unet = await loadUnet(folder, family, options);
  const vae = await loadVae(folder, options);
  const textEncoders = await Promise.all(encoders.map((name) => loadTextEncoder(folder, name, options)));
  const networks = {
    folder,
    family,
    unet,
    vae,
    tinyVae: await findTinyVae(folder),
    textEncoders,
    safetyChecker: await openSafetyChecker(folder, options),
    scheduler: defaultScheduler(await loadScheduler(folder, family), defaults),
    defaults,
    trainedSize: trainedSize(unet.config, vae.factor),
    loras: options.loras ?? [],
    warnings,
  };
  checkChannels(networks, options);
  checkVariant(networks, options, warnings);
  return networks.loras.length > 0 ? sampledByLora(await withLoras(networks, warnings)) : networks;
}

/** Undefined where the model has none and none is named, or null is given. */
async function openSafetyChecker(
  source: ModelSource,
  options: ComponentOptions,
): Promise<SafetyChecker | undefined> {
  const { safetyChecker: given } = options;
  if (given === null || (given === undefined && !source.components.has("safety_checker"))) return undefined;
  const { loadSafetyChecker } = await import("./safety-checker.js"); // here, as most models have none
  return loadSafetyChecker(source, options);
}

/** Few-step LoRAs that a model is opened with have its scheduler and its defaults replaced. */
function sampledByLora(networks: Networks): Networks {
  const { sampling, defaults } = networks;
  if (sampling === undefined) return networks;
  const { scheduler, steps, guidance, source } = sampling;
  return { ...networks, scheduler, defaults: { ...defaults, steps, guidance, scheduler: undefined, source } };
}

/** A folder, or a single file. */
async function openModel(model: string, options: ComponentOptions): Promise<ModelSource> {
  if ((await kindOf(model)) === "file") {
    // Here, as folders do not need it.
    const { openSingleFile } = await import("./single-file/open.js");
    return openSingleFile(model, options);
  }
  const [given] = Object.entries(singleFileOnly).filter(([name]) => options[name as keyof SingleFileOptions]);
  if (given === undefined) return openFolder(model);
  throw new InvalidRequest(
    given[0],
    options[given[0] as keyof SingleFileOptions],
    `${given[1]}, got it with a folder. Leave it out.`,
  );
}

const singleFileOnly: Readonly<Record<"config" | "tokenizer" | "ema", string>> = {
  config: "gives configs to a single file, which has none",
  tokenizer: "gives a tokenizer to a single file, which has none",
  ema: "takes the moving average out of a single file",
};

/** Components that a single file lacks must be given. */
function refuseAbsent({ path: at, file }: ModelSource, options: ComponentOptions): void {
  const flags: Readonly<Record<string, readonly [given: string | undefined, flag: string, field: string]>> = {
    vae: [options.vae, "--vae", "vae"],
    text_encoder: [options.textEncoder, "--text-encoder", "textEncoder"],
    text_encoder_2: [options.textEncoder2, "--text-encoder-2", "textEncoder2"],
  };
  const absent = [...(file?.absent ?? [])].filter(([name]) => flags[name]?.[0] === undefined);
  if (absent.length === 0) return;
  const what = absent.map(([name, names]) => `${name} (${names})`).join(" and ");
  const add = absent
    .map(([name]) => `${flags[name]![1]} FILE (${flags[name]![2]} in the library)`)
    .join(" and ");
  throw new ModelError(at, `must hold the whole model, missing ${what}. Add ${add}.`, {
    missing: absent.map(([name]) => name),
  });
}

/** What of a single file is not used although nobody knows why it is there. */
function skippedWarnings({ path: at, file }: ModelSource): string[] {
  const unknown = file?.skipped.unknown ?? [];
  if (unknown.length === 0) return [];
  return [
    `${path.basename(at)}: ${unknown.length} tensors belong to no part of the model and were skipped: ${listed(unknown, 3)}`,
  ];
}

/** The U-Net must have the autoencoder's channels, by its config and by its weights. */
function checkChannels({ unet, vae }: Networks, { vae: other }: ComponentOptions): void {
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
function checkVariant(components: Networks, options: ComponentOptions, warnings: string[]): void {
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
export const adaptableNetworks = ({ unet, textEncoders }: Networks): Adaptable[] => [
  { name: "unet", weights: unet.component.weights, config: unet.config },
  ...textEncoders.map(({ component: { name, weights } }) => ({ name, weights })),
];

/** The components with further LoRAs besides their own. */
export async function withMoreLoras(components: Components, more: readonly Lora[]): Promise<Components> {
  if (more.length === 0) return components;
  const warnings = [...components.warnings];
  return withLoras({ ...components, loras: [...components.loras, ...more], warnings }, warnings);
}

async function withLoras<T extends Networks>(components: T, warnings: string[]): Promise<T> {
  const { unet, textEncoders, loras } = components;
  const { loraChanges } = await import("./lora.js"); // here, as most models are opened without
  const changes = await loraChanges(loras, adaptableNetworks(components), (message) =>
    warnings.push(message),
  );
  const changed = <T extends { component: Component }>(owner: T): T => ({
    ...owner,
    component: owner.component.changed(changes.get(owner.component.name)!),
  });
  const sampling = await loraSampling(loras);
  return { ...components, unet: changed(unet), textEncoders: textEncoders.map(changed), sampling };
}

async function loadScheduler(folder: ModelSource, family: Family): Promise<Scheduler> {
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

/** Diffusers' pipelines take a `sample_size` of 64 where the config has none. */
function trainedSize({ sampleSize }: UNetConfig, factor: number): Networks["trainedSize"] {
  const { height, width } = sampleSize ?? { height: 64, width: 64 };
  return { height: height * factor, width: width * factor };
}

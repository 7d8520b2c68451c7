/**
 * @file A single file as the source of a model: AUTOMATIC1111's, ComfyUI's and kohya's "checkpoint", with the U-Net, the
 * autoencoder and the text encoders under their original names. The family shows in names and shapes; configs are
 * generated for it or taken from a folder. Weights stay where they lie.
 */

import { listed, ModelError } from "../../errors.js";
import type { JsonObject } from "../../files/json.js";
import { type ModelFamily, unetFamily } from "../../models/family.js";
import { inferredClipConfig } from "../../models/infer-clip.js";
import { inferredUnetConfig, type UnetTopology, unetTopology } from "../../models/infer-unet.js";
import { inferredVaeConfig } from "../../models/ldm-vae.js";
import { unetConfig } from "../../models/unet-config.js";
import { weightsOfFile } from "../../weights/component.js";
import { optionalComponents } from "../../weights/file-names.js";
import { openFolder } from "../../weights/folder.js";
import type { ModelComponent, ModelSource } from "../../weights/model-source.js";
import { openSafetensors } from "../../weights/safetensors-file.js";
import type { WeightSet } from "../../weights/weight-set.js";
import {
  clipJson,
  kindOfFamily,
  type ModelKind,
  sampleSizes,
  schedulerConfigs,
  textEncoderClasses,
  vaeJson,
} from "./configs.js";
import {
  averagedUnet,
  clipPart,
  findClip,
  shapesBelow,
  skippedTensors,
  type TextEncoderName,
  unetPart,
  unetPrefix,
  vaePart,
} from "./parts.js";
import { predictsV } from "./prediction.js";
import { refuseOther } from "./refusals.js";
import { type FileStatements, fileStatements } from "./statements.js";
import { type TokenizerOptions, tokenizerSource } from "./tokenizer.js";

export type SingleFileOptions = TokenizerOptions & {
  /** A diffusers folder whose configs and tokenizers count instead of generated ones. Its weights are not read. */
  config?: string;
  /** Takes the moving average of the U-Net's weights, where the file has it. */
  ema?: boolean;
};

/** What is known of an opened file. */
type Opened = {
  path: string;
  whole: WeightSet;
  prefix: string;
  topology: UnetTopology;
  family: ModelFamily;
  kind: ModelKind;
  said: FileStatements;
  configs: ModelSource | undefined;
};

/** Opens a single file; ModelError for a file that is not of a supported model. Reads its header and a few numbers. */
export async function openSingleFile(path: string, options: SingleFileOptions = {}): Promise<ModelSource> {
  const file = await openSafetensors(path);
  const whole = await weightsOfFile(file);
  const prefix = unetPrefix(whole);
  const topology = prefix === undefined ? undefined : unetTopology(shapesBelow(whole, prefix));
  if (prefix === undefined || topology === undefined) return refuseOther(path, whole);
  const family = unetFamily(topology);
  if (family.name === "SDXL refiner") {
    const remedy = "Use the base model by itself.";
    throw new ModelError(path, `is SDXL's refiner (${family.reason}), which is not supported. ${remedy}`);
  }
  const said = await fileStatements(whole, file.metadata);
  const kind = said.playground ? "playground" : kindOfFamily(family, topology);
  const configs = options.config === undefined ? undefined : await openFolder(options.config);
  const opened = { path, whole, prefix, topology, family, kind, said, configs };
  return sourceOf(opened, file.metadata, options);
}

async function sourceOf(
  opened: Opened,
  metadata: Readonly<Record<string, string>>,
  options: SingleFileOptions,
): Promise<ModelSource> {
  const { path, whole, configs, family, said } = opened;
  const className = configs?.className ?? family.pipeline;
  const weights = await partsOf(opened, options);
  const names = configs ? [...configs.components.keys()] : componentNames(className);
  const used = names.filter((name) => !optionalComponents.includes(name));
  const components = new Map(used.map((name) => [name, componentOf(opened, name, weights.get(name))]));
  const absent = used.filter((name) => !weights.has(name) && isNetwork(name));
  return {
    path,
    className,
    settings: configs?.settings ?? (className.includes("XL") ? { force_zeros_for_empty_prompt: true } : {}),
    components,
    component: (name) => {
      const found = components.get(name);
      if (found) return found;
      throw new ModelError(path, `must have the component "${name}", which its family does not have.`);
    },
    tokenizer: (name) => tokenizerSource(name, { path, className, kind: opened.kind, configs }, options),
    file: {
      family: said.playground ? "Playground v2.5" : family.name,
      reason: family.reason,
      absent: new Map(absent.map((name) => [name, originalName(name, className)])),
      skipped: skippedTensors(whole, [...weights.values()]),
      notes: said.notes,
      metadata,
    },
  };
}

const isNetwork = (name: string) => /^(unet|vae|text_encoder(_2)?)$/.test(name);

const componentNames = (className: string): string[] => [
  ...(className.includes("XL")
    ? ["text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"]
    : ["text_encoder", "tokenizer"]),
  ...["scheduler", "unet", "vae"],
];

/** What stands before a component's names in a file that has it. */
function originalName(name: string, className: string): string {
  if (name === "vae") return "first_stage_model.*";
  if (!className.includes("XL")) return "cond_stage_model.*";
  return `conditioner.embedders.${name === "text_encoder" ? 0 : 1}.*`;
}

/** The weights of each network that the file holds. */
async function partsOf(opened: Opened, { ema = false }: SingleFileOptions): Promise<Map<string, WeightSet>> {
  const { whole, prefix, configs } = opened;
  const parts = new Map<string, WeightSet>();
  const json = configs ? await configs.component("unet").config() : await unetJson(opened);
  const source = ema ? averagedUnet(whole, prefix) : whole;
  parts.set("unet", unetPart(source, prefix, unetConfig(json, configs ? "unet/config.json" : opened.path)));
  const vae = vaePart(whole);
  if (vae) parts.set("vae", vae);
  for (const name of ["text_encoder", "text_encoder_2"] as const) {
    const clip = findClip(whole, name);
    if (clip) parts.set(name, clipPart(whole, clip));
  }
  return parts;
}

function componentOf(opened: Opened, name: string, weights: WeightSet | undefined): ModelComponent {
  const { path, configs } = opened;
  const own = configs?.components.get(name);
  const config = () => configOf(opened, name, weights, own);
  return {
    name,
    library: own?.library ?? (/^(text_encoder|tokenizer)/.test(name) ? "transformers" : "diffusers"),
    className: own?.className ?? classOf(opened, name),
    path,
    config,
    weights: async () => {
      if (weights) return weights;
      throw new ModelError(path, `must hold the weights of ${name}, got none.`, { missing: [name] });
    },
  };
}

function classOf({ kind, said }: Opened, name: string): string {
  if (name === "text_encoder" || name === "text_encoder_2") return textEncoderClasses[name];
  if (name === "scheduler")
    return String(schedulerConfigs[said.playground ? "playground" : kind]._class_name);
  const classes: Readonly<Record<string, string>> = { unet: "UNet2DConditionModel", vae: "AutoencoderKL" };
  return classes[name] ?? "CLIPTokenizer";
}

async function configOf(
  opened: Opened,
  name: string,
  weights: WeightSet | undefined,
  own: ModelComponent | undefined,
): Promise<JsonObject> {
  const { kind, said } = opened;
  if (name === "scheduler") return schedulerJson(opened, own);
  if (name === "vae") {
    const json = own ? await own.config() : vaeJson(kind, weights && inferredVaeConfig(weights.tensors));
    return { ...json, ...said.vae };
  }
  if (own) return own.config();
  if (name === "unet") return unetJson(opened);
  if (name === "text_encoder" || name === "text_encoder_2")
    return clipJson(kind, name, weights && inferredClip(opened, name, weights));
  return {};
}

function inferredClip(
  { whole }: Opened,
  name: TextEncoderName,
  { tensors }: WeightSet,
): JsonObject | undefined {
  const shapes = new Map([...tensors].map(([at, { shape }]) => [at, shape]));
  return inferredClipConfig(shapes, findClip(whole, name)!.naming);
}

/** The folder's or the family's, with what the file says of its own training. */
async function schedulerJson(opened: Opened, own: ModelComponent | undefined): Promise<JsonObject> {
  const { kind, said } = opened;
  const given = await own?.config();
  if (said.playground && !String(given?._class_name ?? own?.className).startsWith("EDM"))
    return schedulerConfigs.playground;
  if (given) return { ...given, ...said.scheduler };
  const guessed = kind === "sd2" && (await v2PredictsV(opened)) ? { prediction_type: "v_prediction" } : {};
  // Without it the first step would not begin at the noise that was trained last.
  const trailing = said.scheduler.rescale_betas_zero_snr ? { timestep_spacing: "trailing" } : {};
  return { ...schedulerConfigs[kind], ...guessed, ...trailing, ...said.scheduler };
}

/** Stable Diffusion 2 comes in both kinds, and no marker tells them. */
async function v2PredictsV({ whole, prefix, said }: Opened): Promise<boolean> {
  const given = said.scheduler.prediction_type;
  return given === undefined ? predictsV(whole, prefix) : given === "v_prediction";
}

/** The U-Net's config as its shapes show it. ModelError where the number of heads is unknown. */
async function unetJson(opened: Opened): Promise<JsonObject> {
  const { path, topology, kind, said } = opened;
  const inferred = inferredUnetConfig(topology);
  if (!inferred) {
    const channels = listed(
      topology.down.map((stage) => String(stage.channels)),
      8,
    );
    const rule = `must have multiples of 64 channels, as shapes do not show the number of heads, got ${channels}`;
    throw new ModelError(path, `${rule}. Add --config FOLDER (config in the library) with its configs.`);
  }
  const side = kind === "sd2" && (await v2PredictsV(opened)) ? 96 : sampleSizes[kind];
  const { trainedSize } = said;
  const sampleSize = trainedSize ? [trainedSize.height / 8, trainedSize.width / 8] : side;
  return { _class_name: "UNet2DConditionModel", ...inferred, sample_size: sampleSize };
}

/** @file Opens the autoencoder of a model, or one that replaces it: another folder, or one file in any of its namings. */

import type { Device } from "../engine/device.js";
import type { Engine } from "../engine/engine.js";
import { listed, ModelError } from "../errors.js";
import { kindOf, readJson } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import path from "../files/path.js";
import { tinyVaeName } from "../hub/resolve-component.js";
import { inferredVaeConfig } from "../models/ldm-vae.js";
import { currentTinyName, tinyDecode, tinyEncode, tinyVaeConfig } from "../models/tiny-vae.js";
import { currentVaeName, decode, encode, type LatentStatistics, vaeConfig } from "../models/vae.js";
import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { resolveWeights } from "../weights/component.js";
import { weightsIn } from "../weights/folder.js";
import type { ModelSource } from "../weights/model-source.js";
import { joined, renamed, type WeightSet } from "../weights/weight-set.js";
import { Component, withStoredWeights } from "./component.js";
import {
  configLabel,
  described,
  expectComponent,
  label,
  openReplacement,
  type Replacement,
  type WeightOptions,
  weightsOf,
} from "./component-files.js";
import type { LoadOptions } from "./load-options.js";
import { vaePart } from "./single-file/parts.js";
import { tinyVaeOf } from "./tiny-vae.js";
import { overlappingEighth, overlappingQuarter, type Tiling } from "./vae-tiling.js";

/** An autoencoder of either kind, behind one pair of functions. */
export type Autoencoder = {
  component: Component;
  /** Its `config.json`. */
  config: JsonObject;
  /** What `encode` gives. */
  encodes: "moments" | "latents";
  latentChannels: number;
  scalingFactor: number;
  /** latents_mean and latents_std, where the config has them. */
  statistics?: LatentStatistics | undefined;
  /** Pixels per latent pixel. */
  factor: number;
  /** How it encodes and decodes in tiles, if that is asked for. */
  tiling: Tiling;
  /** image: [B, 3, H, W] -> what the network gives; `AutoencoderKL` mean and log-variance, `AutoencoderTiny` latents */
  encode: (p: Params, image: Tensor) => Tensor;
  decode: (p: Params, latents: Tensor) => Tensor;
};

type Networks = Omit<Autoencoder, "component">;
type VaeOptions = WeightOptions & Pick<LoadOptions, "vae"> & { engine: Engine };

const kinds = ["AutoencoderKL", "AutoencoderTiny"];

/** The model's own autoencoder, or the one at `options.vae`; ModelError. */
export async function loadVae(source: ModelSource, options: VaeOptions): Promise<Autoencoder> {
  const vae = await openVae(source, options);
  return { ...vae, component: vae.component.adapted(placed(vae)) };
}

/** Nearly all of it is convolutions, so its weights stay as they are stored. */
const placed =
  (networks: Networks) =>
  (device: Device): Device => ({
    ...withStoredWeights(device),
    dtype: staysFloat32(networks)(device) ? "float32" : device.dtype,
  });

/**
 * Where it computes in float32 although other networks compute in float16. SDXL's passes 65504 inside, which
 * `force_upcast` says: true for an `AutoencoderKL` whose config has no such field, as in Diffusers. WebGPU sums in
 * float16, which overflows before the results do.
 */
const staysFloat32 =
  ({ config, encodes }: Networks) =>
  ({ provider }: Device): boolean =>
    provider === "webgpu" || (config.force_upcast ?? encodes === "moments") === true;

async function openVae(source: ModelSource, options: VaeOptions): Promise<Autoencoder> {
  const { vae: given, engine, configsOnly = false } = options;
  const replaced = given === tinyVaeName ? await tinyVaeOf(source) : given;
  if (replaced === undefined) {
    const own = expectComponent(source, "vae", kinds);
    const networks = networksOf(await own.config(), configLabel("vae", source), own.className);
    const weights = await weightsOf(own, options, bothHalves(networks));
    return opened(networks, label("vae", weights.files, source), weights, engine);
  }
  const found = await openReplacement(replaced, "vae", kinds);
  if (found.kind === "file") return inFile(found, source, engine);
  const file = path.join(found.location, "config.json");
  const config = found.config ?? { json: await readJson(file), file };
  const networks = networksOf(config.json, config.file);
  const trace = bothHalves(networks);
  const weights = configsOnly ? described(trace) : await weightsIn(found.location);
  return opened(networks, label(replaced, weights.files), weights, engine);
}

function opened(networks: Networks, name: string, given: WeightSet, engine: Engine): Autoencoder {
  const rename = networks.encodes === "moments" ? currentVaeName : (same: string) => same;
  return { ...networks, component: new Component("vae", name, renamed(given, rename), engine) };
}

/** The networks that a config describes; its errors name `file`. */
function networksOf(json: JsonObject, file: string, otherwise?: string): Networks {
  const className = json._class_name ?? otherwise;
  if (className === "AutoencoderTiny") return tiny(json, file);
  if (className === "AutoencoderKL") return full(json, file);
  const got = JSON.stringify(className);
  throw new ModelError(file, `_class_name: must be ${kinds.join(" or ")}, got ${got}.`);
}

function full(json: JsonObject, file: string): Networks {
  const c = vaeConfig(json, file);
  const factor = 2 ** (c.channels.length - 1);
  return {
    config: json,
    encodes: "moments",
    latentChannels: c.latentChannels,
    scalingFactor: c.scalingFactor,
    statistics: c.statistics,
    factor,
    tiling: overlappingQuarter(c.sampleSize, factor),
    encode: (p, image) => encode(p, c, image),
    decode: (p, latents) => decode(p, c, latents),
  };
}

function tiny(json: JsonObject, file: string): Networks {
  const c = tinyVaeConfig(json, file);
  const factor = 2 ** (c.encoder.length - 1);
  return {
    config: json,
    encodes: "latents",
    latentChannels: c.latentChannels,
    scalingFactor: c.scalingFactor,
    factor,
    tiling: overlappingEighth(factor),
    encode: (p, image) => tinyEncode(p, c, image),
    decode: (p, latents) => tinyDecode(p, c, latents),
  };
}

/** Both halves of an autoencoder. */
export const bothHalves =
  ({ encode, decode, latentChannels }: Pick<Networks, "encode" | "decode" | "latentChannels">) =>
  (p: Params) => [
    encode(p, input("image", [1, 3, 64, 64])),
    decode(p, input("latents", [1, latentChannels, 8, 8])),
  ];

/** One file, whose kind shows in the names of its tensors. */
async function inFile(found: Replacement, folder: ModelSource, engine: Engine): Promise<Autoencoder> {
  const { location, config } = found;
  const weights = await resolveWeights(location);
  const names = [...weights.tensors.keys()];
  const beside = (className: string) => (config?.json._class_name === className ? config : undefined);
  if (names.some((name) => /^(\d+|(en|de)coder\.layers)\./.test(name)))
    return inTinyFile(location, weights, beside("AutoencoderTiny"), engine);
  const part = vaePart(weights);
  if (part) return inFullFile(location, part, beside("AutoencoderKL"), folder, engine);
  const rule =
    "must be the weights of an AutoencoderKL (in Diffusers' names or the original ones) or of TAESD";
  throw new ModelError(path.basename(location), `${rule}, got ${listed(names, 3)}. Give another file.`);
}

async function inFullFile(
  location: string,
  weights: WeightSet,
  beside: Replacement["config"],
  folder: ModelSource,
  engine: Engine,
): Promise<Autoencoder> {
  const name = path.basename(location);
  const { json, file } = beside ?? { json: await configFor(name, weights, folder), file: name };
  return { ...full(json, file), component: new Component("vae", name, weights, engine) };
}

/**
 * The config of a file that has none beside it: what names and shapes show, and for the rest that of the model's own
 * autoencoder. So the scaling factor (0.13025 of SDXL's, 0.18215 of Stable Diffusion's: the weights do not say which)
 * is the model's, whose latents the file is meant to decode.
 */
async function configFor(name: string, { tensors }: WeightSet, folder: ModelSource): Promise<JsonObject> {
  const own = folder.component("vae");
  const json = await own.config();
  const className = json._class_name ?? own.className;
  if (className !== "AutoencoderKL") {
    const rule = "must have its config.json beside it, which says its scaling_factor, got none";
    const why = `The model's own autoencoder, ${className}, cannot replace it.`;
    throw new ModelError(name, `${rule}. ${why}`);
  }
  const inferred = inferredVaeConfig(tensors);
  if (inferred) return { ...json, ...inferred };
  const rule = "must hold a whole decoder";
  throw new ModelError(name, `${rule}, got ${listed([...tensors.keys()], 3)}. Download it again.`);
}

/**
 * A file of TAESD's decoder, which without a config is of the published shape. The encoder's file, which only an image
 * to begin with needs, is taken from beside it.
 */
async function inTinyFile(
  location: string,
  given: WeightSet,
  beside: Replacement["config"],
  engine: Engine,
): Promise<Autoencoder> {
  const name = path.basename(location);
  if (given.tensors.has("0.weight")) {
    const remedy = "Give the decoder's: the encoder's is found beside it.";
    throw new ModelError(name, `must be TAESD's decoder, got the file of its encoder. ${remedy}`);
  }
  const decoder = renamed(given, (old) => currentTinyName(old, "decoder"));
  const other = name.replace("decoder", "encoder");
  const encoderFile = path.join(path.dirname(location), other);
  const paired = other !== name && (await kindOf(encoderFile)) === "file";
  const weights = paired ? joined(await taesdEncoder(encoderFile), decoder) : decoder;
  const networks = beside ? tiny(beside.json, beside.file) : tiny({}, "AutoencoderTiny's defaults");
  const component = new Component("vae", name, weights, engine);
  if ([...weights.tensors.keys()].some((key) => key.startsWith("encoder.")))
    return { ...networks, component: component };
  const encode = () => {
    const missing = `Put ${other === name ? "the encoder's file" : other} beside it, or give a folder that holds both.`;
    throw new ModelError(
      name,
      `must hold an encoder to begin with an image, got the decoder alone. ${missing}`,
    );
  };
  return { ...networks, component: component, encode };
}

const taesdEncoder = async (file: string) =>
  renamed(await resolveWeights(file), (old) => currentTinyName(old, "encoder"));

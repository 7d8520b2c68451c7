/** @file Opens the networks that a stage file is about: those of a pipeline folder, a bare part, or a bare U-Net file. */

import path from "node:path";
import type { Device } from "../../src/engine/device.js";
import type { Engine, Session, Values } from "../../src/engine/engine.js";
import { kindOf, readJson } from "../../src/files/file-system.js";
import { currentTinyName, tinyDecode, tinyEncode, tinyVaeConfig } from "../../src/models/tiny-vae.js";
import { currentVaeName, decode, encode, vaeConfig } from "../../src/models/vae.js";
import type { Autoencoder } from "../../src/pipeline/autoencoder.js";
import { type Component, componentProgram, type Trace } from "../../src/pipeline/component.js";
import { type Components, loadComponents } from "../../src/pipeline/components.js";
import type { Denoiser } from "../../src/pipeline/load-unet.js";
import type { TextEncoder } from "../../src/pipeline/text-encoding.js";
import { overlappingEighth, overlappingQuarter } from "../../src/pipeline/vae-tiling.js";
import { Params } from "../../src/tensor/params.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { resolveWeights } from "../../src/weights/component.js";
import { renamed } from "../../src/weights/weight-set.js";
import type { Context } from "../conformance/check.js";
import { namesIn, readGoldenJson } from "../conformance/golden-file.js";

/** What a network's weights are called and where they lie. */
export type NetworkWeights = Pick<Component, "name" | "file" | "weights"> & {
  /** What it is lowered for, where that is not the engine's own device. */
  readonly device?: Device;
};
export type StageVae = Pick<Autoencoder, "latentChannels" | "factor" | "tiling" | "encode" | "decode"> & {
  encoder: NetworkWeights;
  decoder: NetworkWeights;
};
export type StageNetworks = { unet?: Denoiser; textEncoders: readonly TextEncoder[]; vae?: StageVae };

/** The networks behind stages/<name>.safetensors; throws what is absent. */
export async function openNetworks(name: string, context: Context): Promise<StageNetworks> {
  const folder = await context.layers.complete(`pipelines/${name}`);
  const has = async (file: string) => (await kindOf(path.join(folder, file))) === "file";
  if (await has("model_index.json")) return ofPipeline(await loadComponents(folder, context));
  if (await has("config.json")) return { textEncoders: [], vae: await bareVae(folder) };
  const files = (await namesIn(folder)).filter((file) => file.endsWith(".safetensors"));
  if (files.length === 0)
    throw new Error(`inputs absent: pipelines/${name} must hold a pipeline, a part or a U-Net`);
  if (files.length > 1)
    throw new Error(`pipelines/${name}: must hold one U-Net file, got ${files.join(", ")}`);
  return bareUnet(`${name}/${files[0]!}`, context);
}

function ofPipeline({ unet, textEncoders, vae }: Components): StageNetworks {
  return { unet, textEncoders, vae: { ...vae, encoder: vae.component, decoder: vae.component } };
}

async function bareVae(folder: string): Promise<StageVae> {
  const json = await readJson(path.join(folder, "config.json"));
  const found = await resolveWeights(folder);
  const named = { name: "vae", file: folder };
  if (json._class_name === "AutoencoderTiny") return tinyVae(json, { ...named, weights: found });
  if (json._class_name !== "AutoencoderKL")
    throw new Error(`${folder}: ${json._class_name} is not one of the conformance tool's networks`);
  const c = vaeConfig(json, `${folder}/config.json`);
  const part = { ...named, weights: renamed(found, currentVaeName) };
  const factor = 2 ** (c.channels.length - 1);
  return {
    latentChannels: c.latentChannels,
    factor,
    tiling: overlappingQuarter(c.sampleSize, factor),
    encoder: part,
    decoder: part,
    encode: (p, image) => encode(p, c, image),
    decode: (p, latents) => decode(p, c, latents),
  };
}

function tinyVae(json: unknown, encoder: NetworkWeights, decoder = encoder): StageVae {
  const c = tinyVaeConfig(json);
  const factor = 2 ** (c.encoder.length - 1);
  return {
    latentChannels: c.latentChannels,
    factor,
    tiling: overlappingEighth(factor),
    encoder,
    decoder,
    encode: (p, image) => tinyEncode(p, c, image),
    decode: (p, latents) => tinyDecode(p, c, latents),
  };
}

/** TAESD's or TAESDXL's own two files, without a config. */
export async function publishedTaesd(folder: string): Promise<StageVae> {
  const weights = async (side: "encoder" | "decoder"): Promise<NetworkWeights> => {
    const file = (await namesIn(folder)).find((name) => name.endsWith(`_${side}.safetensors`));
    if (!file) throw new Error(`inputs absent: *_${side}.safetensors must be in ${folder}`);
    const found = await resolveWeights(path.join(folder, file));
    return { name: side, file, weights: renamed(found, (name) => currentTinyName(name, side)) };
  };
  return tinyVae({}, await weights("encoder"), await weights("decoder"));
}

/** A bare U-Net file has the config of the runs that use it, or of the one pipeline folder whose shapes it has. */
async function bareUnet(file: string, context: Context): Promise<StageNetworks> {
  const at = await context.layers.locate(`pipelines/${file}`);
  for (const folder of await foldersOfRuns(file, context)) {
    return { textEncoders: [], unet: (await loadComponents(folder, { ...context, unet: at })).unet };
  }
  const fits: Denoiser[] = [];
  for (const name of await namesIn(path.join(context.folder, "pipelines"))) {
    const folder = path.join(context.folder, "pipelines", name);
    if ((await kindOf(path.join(folder, "model_index.json"))) !== "file") continue;
    if ((await kindOf(path.join(folder, "links.json"))) !== undefined) continue;
    const { unet } = await loadComponents(folder, { ...context, unet: at });
    if (doesFit(unet, context.engine)) fits.push(unet);
  }
  if (fits.length === 1) return { textEncoders: [], unet: fits[0]! };
  throw new Error(`inputs absent: ${file} must fit the U-Net config of one pipeline, fits ${fits.length}`);
}

async function foldersOfRuns(file: string, { folder }: Context): Promise<string[]> {
  const found: string[] = [];
  for (const pipeline of await namesIn(path.join(folder, "runs"))) {
    for (const name of await namesIn(path.join(folder, "runs", pipeline))) {
      if (!name.endsWith(".json")) continue;
      const run = await readGoldenJson(path.join(folder, "runs", pipeline, name));
      if (run.unet_file === file) found.push(path.join(folder, String(run.folder)));
    }
  }
  return found;
}

function doesFit({ component, trace }: Denoiser, engine: Engine): boolean {
  try {
    componentProgram(component.name, component.file, component.weights, trace, engine);
    return true;
  } catch {
    return false;
  }
}

/** Watches a tracing: the last tensor of each path in the weights, in the order of computing. */
export function recordTensors(p: Params): { params: Params; seen: ReadonlyMap<string, Tensor> } {
  const seen = new Map<string, Tensor>();
  const watch = (at: string, x: Tensor) => {
    seen.delete(at);
    seen.set(at, x);
  };
  return { params: new Params((at, shape) => p.get(at, shape), { watch }), seen };
}

/** Loads a network, lowered for its own device. */
export function loadNetwork(network: NetworkWeights, trace: Trace, engine: Engine): Promise<Session> {
  const { name, file, weights, device = engine.device } = network;
  return engine.load(componentProgram(name, file, weights, trace, { device }));
}

/** Loads a network, runs it once and frees it. */
export async function runOnce(
  network: NetworkWeights,
  trace: Trace,
  inputs: Readonly<Record<string, Values>>,
  engine: Engine,
): Promise<Record<string, Values>> {
  const session = await loadNetwork(network, trace, engine);
  try {
    return await session.run(inputs);
  } finally {
    await session.release();
  }
}

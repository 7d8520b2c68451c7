/** @file Opens the U-Net of a model, or one that replaces it: a folder, or one file in Diffusers' names or the original. */

import { ModelError } from "../errors.js";
import type { JsonObject } from "../files/json.js";
import path from "../files/path.js";
import { traceUnetAttention } from "../models/cross-attention.js";
import { inferredUnetConfig, unetTopology } from "../models/infer-unet.js";
import { sgmNames } from "../models/sgm.js";
import { traceUnet } from "../models/trace.js";
import { type UNetConfig, unetConfig } from "../models/unet-config.js";
import { manifest } from "../tensor/params.js";
import { resolveWeights } from "../weights/component.js";
import { additionKind } from "../weights/file-kind.js";
import type { ModelSource } from "../weights/model-source.js";
import type { Family } from "../weights/pipeline-class.js";
import type { WeightSet } from "../weights/weight-set.js";
import { Component, type Trace } from "./component.js";
import {
  type ComponentOptions,
  configLabel,
  expectComponent,
  label,
  openReplacement,
  type Replacement,
  weightsOf,
} from "./component-files.js";
import { shapesBelow, unetPart, unetPrefix } from "./single-file/parts.js";

export type Denoiser = {
  component: Component;
  config: UNetConfig;
  trace: Trace;
  /** The same with its attention to text as further results. */
  traceAttention: Trace;
  /** The config.json of a U-Net that replaces the folder's, and its path. */
  replaced?: { json: JsonObject; file: string };
};

const classes = ["UNet2DConditionModel"];

/** ModelError that names the file. */
export async function loadUnet(
  source: ModelSource,
  family: Family,
  options: ComponentOptions,
): Promise<Denoiser> {
  const own = expectComponent(source, "unet", classes);
  const ownConfig = async () => ({
    json: corrected(await own.config(), family),
    file: configLabel("unet", source),
  });
  if (options.unet === undefined) {
    const { json, file } = await ownConfig();
    const config = unetConfig(json, file);
    const weights = await weightsOf(own, options, traced(config));
    return denoiser(config, label("unet", weights.files, source), weights, options);
  }
  const other = await openReplacement(options.unet, "unet", classes);
  const replaced = other.config && { json: corrected(other.config.json, family), file: other.config.file };
  const name = path.basename(other.location);
  const all = await resolveWeights(other.location);
  const addition = additionKind([...all.tensors.keys()]);
  if (addition) throw new ModelError(name, `must be a U-Net, got ${addition.what}. ${addition.remedy}`);
  const prefix = unetPrefix(all);
  const known = replaced ?? (await ownConfig());
  if (prefix === undefined || other.kind === "folder")
    return denoiser(unetConfig(known.json, known.file), name, all, options, other.config);
  const { config, shown } = configFor(all, prefix, known, other);
  return denoiser(config, name, unetPart(all, prefix, config), options, shown ?? other.config);
}

/** The network of a config, for counting its weights. */
const traced =
  (config: UNetConfig): Trace =>
  (p, size) => ({ out: traceUnet(p, config, size) });

function denoiser(
  config: UNetConfig,
  file: string,
  weights: WeightSet,
  { engine }: ComponentOptions,
  replaced?: Replacement["config"],
): Denoiser {
  const component = new Component("unet", file, weights, engine, { on: (device) => device });
  const traceAttention: Trace = (p, size) => traceUnetAttention(p, config, size);
  return { component, config, trace: traced(config), traceAttention, ...(replaced && { replaced }) };
}

/**
 * The config of a file in the original names: the one that is known, if the file has all tensors of such a U-Net, else
 * what its shapes show, as of a KOALA's U-Net over SDXL.
 */
function configFor(
  all: WeightSet,
  prefix: string,
  { json, file }: { json: JsonObject; file: string },
  { location, config: beside }: Replacement,
): { config: UNetConfig; shown?: NonNullable<Replacement["config"]> } {
  const known = unetConfig(json, file);
  const topology = unetTopology(shapesBelow(all, prefix));
  const inferred = topology && inferredUnetConfig(topology);
  if (beside || !inferred || fits(all, prefix, known)) return { config: known };
  const shown = {
    json: { _class_name: classes[0]!, ...inferred, sample_size: json.sample_size },
    file: path.basename(location),
  };
  return { config: unetConfig(shown.json, shown.file), shown };
}

/** Whether a file has every tensor of a U-Net, in its shape. */
function fits({ tensors }: WeightSet, prefix: string, config: UNetConfig): boolean {
  const original = sgmNames(config);
  return [...manifest(traced(config))].every(([name, shape]) => {
    const dot = name.lastIndexOf(".");
    const found = tensors.get(`${prefix}${original(name.slice(0, dot))}${name.slice(dot)}`);
    return found?.shape.join() === shape.join();
  });
}

/** Diffusers' SD pipeline corrects a sample size below 64 in configs written before version 0.9. */
function corrected(json: JsonObject, family: Family): JsonObject {
  if (family !== "sd") return json;
  const { _diffusers_version: version, sample_size: size } = json;
  const isOld = typeof version === "string" && /^0\.[0-8](\.|$)/.test(version);
  return isOld && typeof size === "number" && size < 64 ? { ...json, sample_size: 64 } : json;
}

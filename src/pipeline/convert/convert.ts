/**
 * @file Converts a model: a single file to a diffusers folder and back, to another dtype, into shards, with LoRAs merged
 * in. What it writes loads in Diffusers. It never overwrites, and what is not finished is removed.
 */

import { randomUUID } from "node:crypto";
import path from "node:path";
import { byteSize } from "../../byte-size.js";
import type { Engine } from "../../engine/engine.js";
import { Cancelled, InvalidRequest, ModelError } from "../../errors.js";
import { kindOf, makeFolder, rename, rm } from "../../files/file-system.js";
import { freeBytes } from "../../files/writable.js";
import { clipText } from "../../models/clip.js";
import { input, param } from "../../tensor/operations.js";
import { manifest, type Params } from "../../tensor/params.js";
import { count } from "../../tensor/tensor.js";
import { dtypeSizes, type WritableDtype } from "../../weights/dtype.js";
import { isPickle } from "../../weights/file-names.js";
import { writeSafetensors } from "../../weights/safetensors-file.js";
import { bothHalves } from "../autoencoder.js";
import { checkWeightShapes } from "../component.js";
import type { ComponentOptions } from "../component-files.js";
import { loadNetworks, type Networks } from "../components.js";
import { writeFolder } from "./folder.js";
import { singleMarkers } from "./markers.js";
import { singleClip, singleUnet, singleVae } from "./single-names.js";
import { type OutgoingNetwork, type OutgoingTensor, outgoing, tensorSource } from "./tensors.js";

export type ConvertOptions = Omit<ComponentOptions, "engine" | "configsOnly"> & {
  engine: Engine;
  /** As stored if left out; eight-bit weights then become float16. */
  precision?: "float32" | "float16" | "bfloat16";
  /** The most bytes of a file of weights in a folder; one file per network if left out. */
  shardBytes?: number;
  onProgress?: (progress: { done: number; total: number }) => void;
  signal?: AbortSignal;
};

/** What was written. */
export type ConvertReport = { output: string; bytes: number; tensors: number; warnings: readonly string[] };

const dtypes: Readonly<Record<"float32" | "float16" | "bfloat16", WritableDtype>> = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
};

/**
 * Writes `model` as `output`: a single file if that ends in .safetensors, else a folder. InvalidRequest where it exists
 * or there is no room, ModelError for a model that is broken, Cancelled.
 */
export async function convertModel(
  model: string,
  output: string,
  options: ConvertOptions,
): Promise<ConvertReport> {
  const single = isSingle(output, options);
  await refuseExisting(output);
  const components = await loadNetworks(model, options);
  const networks = [...networksOf(components, options), ...(single ? [] : checkerOf(components, options))];
  const bytes = networks
    .flatMap(({ tensors }) => [...tensors.values()])
    .reduce((sum, t) => sum + bytesOf(t), 0);
  await checkRoom(output, bytes);
  let done = 0;
  const onRead = (read: number) => {
    if (options.signal?.aborted) throw new Cancelled("the conversion");
    done += read;
    options.onProgress?.({ done, total: bytes });
  };
  if (single) await writeSingle(components, networks, output, onRead);
  else
    await beside(output, (folder) =>
      writeFolder(components, networks, folder, { onRead, shardBytes: options.shardBytes }),
    );
  const tensors = networks.reduce((sum, network) => sum + network.tensors.size, 0);
  const dropped = single && components.safetyChecker ? [withoutChecker] : [];
  return { output, bytes, tensors, warnings: [...components.warnings, ...dropped] };
}

const withoutChecker =
  "safety_checker: is left out, since a single file holds none, so its images are not checked. Name the checker where " +
  "the file is opened (safetyChecker, --safety-checker)";

/** InvalidRequest for the name of another kind of file, and for shards of a single one. */
function isSingle(output: string, { shardBytes }: ConvertOptions): boolean {
  if (isPickle(output) || /\.(gguf|onnx)$/i.test(output)) {
    const rule = `must be a folder, or a file that ends in .safetensors, got ${output}. Name it otherwise.`;
    throw new InvalidRequest("output", output, rule);
  }
  const single = output.endsWith(".safetensors");
  if (!single || shardBytes === undefined) return single;
  const rule = `belongs to a folder, got it with the single file ${output}. Leave it out, or name a folder.`;
  throw new InvalidRequest("shardBytes", shardBytes, rule);
}

const bytesOf = ({ dtype, shape }: OutgoingTensor): number => count(shape) * dtypeSizes[dtype];

async function refuseExisting(output: string): Promise<void> {
  if ((await kindOf(output)) === undefined) return;
  throw new InvalidRequest(
    "output",
    output,
    `must not exist, got ${output}. Nothing is overwritten: name another, or remove it.`,
  );
}

/** Headers and configs take little beside the weights. */
const margin = 32 * 2 ** 20;

async function checkRoom(output: string, bytes: number): Promise<void> {
  const free = await freeBytes(path.dirname(path.resolve(output)));
  if (free >= bytes + margin) return;
  const [needs, has] = [bytes + margin, free].map(byteSize);
  throw new InvalidRequest(
    "output",
    output,
    `needs ${needs} on its disk, got ${has}. Free some, or name another disk.`,
  );
}

/** The networks with their weights checked against their configs. */
function networksOf(components: Networks, { precision, engine }: ConvertOptions): OutgoingNetwork[] {
  const { unet, vae, textEncoders } = components;
  const dtype = precision === undefined ? undefined : dtypes[precision];
  const network = (
    component: Networks["unet"]["component"],
    trace: (p: Params) => unknown,
  ): OutgoingNetwork => {
    const wanted = new Map([...manifest(trace)].map(([at, shape]) => [at, param(at, shape)]));
    checkWeightShapes(component.file, wanted, component.weights);
    return { name: component.name, tensors: outgoing(component, trace, { dtype, engine }) };
  };
  return [
    network(unet.component, unet.trace),
    network(vae.component, bothHalves(vae)),
    ...textEncoders.map(({ component, config }) =>
      network(component, (p) => clipText(p, config, input("ids", [1, config.maxTokens], "int64"))),
    ),
  ];
}

/** The safety checker with its weights as they are stored: what it decides by is a third decimal, which half precision has not. */
function checkerOf({ safetyChecker }: Networks, { engine }: ConvertOptions): OutgoingNetwork[] {
  if (!safetyChecker) return [];
  const { component, trace } = safetyChecker;
  const wanted = new Map([...manifest(trace)].map(([at, shape]) => [at, param(at, shape)]));
  checkWeightShapes(component.file, wanted, component.weights);
  return [{ name: component.name, tensors: outgoing(component, trace, { dtype: undefined, engine }) }];
}

/** Makes a folder beside its final name, and renames it when it is whole. */
async function beside(output: string, write: (folder: string) => Promise<void>): Promise<void> {
  const final = path.resolve(output);
  const partial = `${final}.${randomUUID()}.partial`;
  try {
    await makeFolder(partial);
    await write(partial);
    await refuseExisting(final);
    await rename(partial, final);
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
}

async function writeSingle(
  components: Networks,
  networks: readonly OutgoingNetwork[],
  output: string,
  onRead: (bytes: number) => void,
): Promise<void> {
  const { family, unet, vae } = components;
  if (vae.encodes !== "moments") {
    const rule = "must be an AutoencoderKL to be part of a single file, got an AutoencoderTiny";
    throw new ModelError(vae.component.file, `${rule}. Leave out --vae, or write a folder.`);
  }
  const isOpenClip = (name: string) =>
    name === "text_encoder_2" || (family === "sd" && unet.config.linearProjection);
  const prefix = (name: string) => {
    if (family === "sd")
      return isOpenClip(name) ? "cond_stage_model.model." : "cond_stage_model.transformer.";
    return name === "text_encoder"
      ? "conditioner.embedders.0.transformer."
      : "conditioner.embedders.1.model.";
  };
  const tensors = new Map<string, OutgoingTensor>();
  for (const { name, tensors: own } of networks) {
    const named =
      name === "unet"
        ? singleUnet(own, unet.config)
        : name === "vae"
          ? singleVae(own)
          : singleClip(own, { prefix: prefix(name), openClip: isOpenClip(name) });
    for (const [at, tensor] of named) tensors.set(at, tensor);
  }
  const { markers, metadata } = await singleMarkers(components);
  const sources = new Map([
    ...markers,
    ...[...tensors].map(([at, t]) => [at, tensorSource(t, onRead)] as const),
  ]);
  await makeFolder(path.dirname(path.resolve(output)));
  await writeSafetensors(output, sources, { metadata });
}

/**
 * @file Writes a trained LoRA as the file that Diffusers' `load_lora_weights` reads by itself, in Diffusers' names or kohya's,
 * with what it was trained on in its header.
 */

import path from "node:path";
import { InvalidRequest } from "../../errors.js";
import { kindOf } from "../../files/file-system.js";
import type { JsonObject } from "../../files/json.js";
import { hasRun } from "../../monitor/run.js";
import { samplingEntry } from "../../pipeline/lora-sampling.js";
import type { Shape } from "../../tensor/tensor.js";
import { fromFloat32 } from "../../weights/dtype.js";
import { type TensorSource, writeSafetensors } from "../../weights/safetensors-file.js";
import type { Sampling } from "../step-distillation/sampling.js";
import { isLoraWeight, loraA } from "./adapter.js";
import { type LoraNaming, type LoraOptions, textEncoderTargets } from "./options.js";

/** Of a LoRA in Diffusers' folders. */
export const loraFileName = "pytorch_lora_weights.safetensors";

type Tensors = ReadonlyMap<string, { shape: Shape; data: Float32Array }>;

type LoraExport = {
  /** A and B by the network's name and the layer's path: `unet.down_blocks.0...to_q.lora_A.weight`. */
  weights: Tensors;
  lora: LoraOptions;
  /** Whether the model has two text encoders, which kohya's names number. */
  isXl: boolean;
  /** What was trained, on what: by role. */
  description: JsonObject;
  /** How to generate with it, where it was distilled to few steps. */
  sampling?: Sampling | undefined;
  output: string;
};

/** Refuses an output with such a file that is not of a run. */
export async function checkLoraOutput(output: string): Promise<void> {
  if ((await kindOf(path.join(output, loraFileName))) === undefined || (await hasRun(output))) return;
  const rule = `must be a new folder, got one with ${loraFileName} in it. Choose another folder.`;
  throw new InvalidRequest("output", output, rule);
}

/** Writes the file beside its name, and renames it. */
export async function exportLora({
  output,
  weights,
  lora,
  isXl,
  description,
  sampling,
}: LoraExport): Promise<void> {
  for (const [name, { data }] of weights) {
    if (data.every(Number.isFinite)) continue;
    throw new InvalidRequest(
      "learningRate",
      name,
      `${name} must be finite, got NaN or infinity. Train at a lower rate.`,
    );
  }
  const tensors = new Map(
    [...weights].flatMap(([name, tensor]): [string, TensorSource][] =>
      namings[lora.names](name, tensor, { lora, isXl }),
    ),
  );
  const metadata = {
    format: "pt",
    ...metadataOf(weights, lora),
    ...(sampling && {
      [samplingEntry]: JSON.stringify({ scheduler: sampling.scheduler, ...sampling.defaults }),
    }),
    koala_training: JSON.stringify({ ...description, lora }),
  };
  await writeSafetensors(path.join(output, loraFileName), tensors, { metadata });
}

type Context = Pick<LoraExport, "lora" | "isXl">;
type Naming = (
  name: string,
  tensor: { shape: Shape; data: Float32Array },
  context: Context,
) => [string, TensorSource][];

const namings: Readonly<Record<LoraNaming, Naming>> = {
  diffusers: (name, tensor, { lora }) => [[name, stored(tensor, lora)]],
  /** Layers in Diffusers' names with "_" for ".", and alpha as a tensor, as the published LCM-LoRAs. */
  kohya: (name, tensor, { lora, isXl }) => {
    const [, network, layer] = /^(unet|text_encoder(?:_2)?)\.(.+)\.lora_[AB]\.weight$/.exec(name) ?? [];
    if (network === undefined || layer === undefined) throw new Error(`internal: no LoRA's tensor: ${name}`);
    const prefix = { unet: "unet", text_encoder: isXl ? "te1" : "te", text_encoder_2: "te2" }[network];
    const stem = `lora_${prefix}_${layer.replaceAll(".", "_")}`;
    if (!name.endsWith(loraA)) return [[`${stem}.lora_up.weight`, stored(tensor, lora)]];
    const alpha = { shape: [], data: Float32Array.of(lora.alpha) };
    return [
      [`${stem}.lora_down.weight`, stored(tensor, lora)],
      [`${stem}.alpha`, stored(alpha, lora)],
    ];
  },
};

const stored = (
  { shape, data }: { shape: Shape; data: Float32Array },
  { dtype }: LoraOptions,
): TensorSource =>
  dtype === "float16"
    ? { dtype: "F16", shape, data: async () => fromFloat32(data, "F16") }
    : { dtype: "F32", shape, data };

/** Alpha, where other programs look for it: PEFT's config of each network as Diffusers writes it, and kohya's header. */
function metadataOf(weights: Tensors, { names, rank, alpha, targets }: LoraOptions): Record<string, string> {
  if (names === "kohya")
    return {
      ss_network_module: "networks.lora",
      ss_network_dim: String(rank),
      ss_network_alpha: String(alpha),
    };
  const networks = new Set(
    [...weights.keys()].filter(isLoraWeight).map((name) => name.slice(0, name.indexOf("."))),
  );
  const configs = [...networks].flatMap((network) => {
    const target_modules = network === "unet" ? targets : textEncoderTargets;
    const config = {
      peft_type: "LORA",
      r: rank,
      lora_alpha: alpha,
      target_modules,
      lora_dropout: 0,
      bias: "none",
    };
    return Object.entries(config).map(([field, value]) => [`${network}.${field}`, value] as const);
  });
  return { lora_adapter_metadata: JSON.stringify(Object.fromEntries(configs)) };
}

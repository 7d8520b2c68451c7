/**
 * @file Writes a complete diffusers folder of a published model's shapes with random float16 weights, for runs at full
 * size without a download. The same name gives the same bytes.
 *
 *     tsx bench/make-model.ts koala-700m|koala-1b|sdxl|sd2 FOLDER [--clip DIR] [--only unet] [--single FILE]
 *
 * DIR holds CLIP's vocab.json and merges.txt, which are not ours to commit. `--only PART[,PART]` leaves the others out.
 * `--single FILE.safetensors` writes the same weights as a single file too, from a folder that is there already as well.
 */

import { copyFile, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { InvalidRequest } from "../src/errors.js";
import { kindOf } from "../src/files/file-system.js";
import { clipConfig, clipText } from "../src/models/clip.js";
import { parameters } from "../src/models/cost.js";
import { knownTextEncoders, knownUnets, knownVae } from "../src/models/known.js";
import { traceUnet } from "../src/models/trace.js";
import { unetConfig } from "../src/models/unet-config.js";
import { decode, encode, vaeConfig } from "../src/models/vae.js";
import { convertModel } from "../src/pipeline/convert/convert.js";
import { input } from "../src/tensor/operations.js";
import { manifest } from "../src/tensor/params.js";
import { count, type Shape } from "../src/tensor/tensor.js";
import { float32ToFloat16 } from "../src/weights/half.js";
import { type TensorSource, writeSafetensors } from "../src/weights/safetensors-file.js";

const unets = { "koala-700m": "KOALA-700M", "koala-1b": "KOALA-1B", sdxl: "SDXL", sd2: "SD 2" } as const;
type Name = keyof typeof unets;

/** One network of the folder: its config and its tensors. */
type Network = { config: object; shapes: ReadonlyMap<string, Shape>; file: string };

const stamp = { _diffusers_version: "0.35.2" };
const bare = "diffusion_pytorch_model.safetensors";

function unetPart(name: Name): Network {
  const config = knownUnets[unets[name]];
  const shapes = manifest((p) => traceUnet(p, unetConfig(config)));
  return { config: { _class_name: "UNet2DConditionModel", ...stamp, ...config }, shapes, file: bare };
}

function vaePart(name: Name): Network {
  const trained = name === "sd2" ? { sample_size: 768 } : { sample_size: 1024, scaling_factor: 0.13025 };
  const config = { ...knownVae, latent_channels: 4, ...trained };
  const c = vaeConfig(config);
  const shapes = manifest((p) => {
    encode(p, c, input("image", [1, 3, 64, 64]));
    decode(p, c, input("latents", [1, 4, 8, 8]));
  });
  const precise = { force_upcast: true }; // SDXL's own VAE overflows in float16, and says so
  return { config: { _class_name: "AutoencoderKL", ...stamp, ...config, ...precise }, shapes, file: bare };
}

function textPart(which: keyof typeof knownTextEncoders): Network {
  const { config, projected } = knownTextEncoders[which];
  const c = clipConfig({ num_hidden_layers: 12, ...config }, { projected });
  const shapes = manifest((p) => clipText(p, c, input("ids", [1, c.maxTokens], "int64")));
  const written = {
    architectures: [projected ? "CLIPTextModelWithProjection" : "CLIPTextModel"],
    model_type: "clip_text_model",
    bos_token_id: 0,
    eos_token_id: 2,
    pad_token_id: 1,
    layer_norm_eps: 1e-5,
    max_position_embeddings: 77,
    num_hidden_layers: c.layers,
    projection_dim: c.width,
    vocab_size: c.vocabulary,
    torch_dtype: "float16",
  };
  return { config: { ...written, ...config }, shapes, file: "model.safetensors" };
}

/** A fast generator (Marsaglia 2003, xorshift32); each tensor has a state of its own, made of its path. */
function xorshift(seed: string): () => number {
  let state = 2166136261; // FNV-1a
  for (const letter of seed) state = Math.imul(state ^ letter.charCodeAt(0), 16777619);
  state ||= 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

/** 65536 values spread evenly over -bound..bound, as float16 bits. */
const spread = (bound: number): Uint16Array =>
  float32ToFloat16(Float32Array.from({ length: 65536 }, (_, i) => ((i + 0.5) / 32768 - 1) * bound));

/**
 * Norms are the identity; matrices and kernels have deviation 1 / sqrt(fan in), so that what goes in with deviation one
 * comes out so; biases a tenth of it; tables of tokens and positions CLIP's 0.02.
 */
function randomHalves(at: string, shapes: ReadonlyMap<string, Shape>, tables: Map<number, Uint16Array>) {
  const shape = shapes.get(at)!;
  const weight = shapes.get(at.replace(/bias$/, "weight")) ?? shape;
  const values = new Uint16Array(count(shape));
  if (weight.length === 1) return values.fill(at.endsWith("weight") ? 0x3c00 : 0);
  const gain = at.endsWith("bias") ? 0.1 : 1;
  const deviation = /_embedding\.weight$/.test(at) ? 0.02 : gain / Math.sqrt(count(weight.slice(1)));
  const bound = Math.sqrt(3) * deviation;
  const table = tables.get(bound) ?? spread(bound);
  tables.set(bound, table);
  const next = xorshift(at);
  for (let i = 0; i + 1 < values.length; i += 2) {
    const bits = next();
    values[i] = table[bits & 0xffff]!;
    values[i + 1] = table[bits >>> 16]!;
  }
  if (values.length % 2 === 1) values[values.length - 1] = table[next() & 0xffff]!;
  return values;
}

const json = (file: string, value: object) => writeFile(file, `${JSON.stringify(value, undefined, 2)}\n`);

async function writeNetwork(folder: string, { config, shapes, file }: Network): Promise<void> {
  await mkdir(folder, { recursive: true });
  await json(path.join(folder, "config.json"), config);
  const [total, tables] = [parameters(shapes), new Map<number, Uint16Array>()];
  const part = path.basename(folder);
  const started = performance.now();
  let [done, shown] = [0, 0];
  const source = (at: string, shape: Shape): TensorSource => ({
    dtype: "F16",
    shape,
    data: async () => {
      done += count(shape);
      if (done - shown >= total / 10) console.log(`${part}: ${Math.floor((100 * (shown = done)) / total)} %`);
      return randomHalves(at, shapes, tables);
    },
  });
  await writeSafetensors(
    path.join(folder, file),
    new Map([...shapes].map(([at, shape]) => [at, source(at, shape)])),
  );
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${part}: ${total.toLocaleString("en")} weights in ${seconds} s`);
}

/** SDXL pads its second tokenizer with "!", the first with the end token. */
async function writeTokenizer(folder: string, clip: string, pad: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of ["vocab.json", "merges.txt"])
    await copyFile(path.join(clip, name), path.join(folder, name));
  const token = (content: string) => ({
    content,
    lstrip: false,
    normalized: true,
    rstrip: false,
    single_word: false,
  });
  const special = {
    bos_token: token("<|startoftext|>"),
    eos_token: token("<|endoftext|>"),
    pad_token: pad,
    unk_token: token("<|endoftext|>"),
  };
  await json(path.join(folder, "special_tokens_map.json"), special);
  const config = {
    tokenizer_class: "CLIPTokenizer",
    do_lower_case: true,
    errors: "replace",
    model_max_length: 77,
  };
  await json(path.join(folder, "tokenizer_config.json"), { ...config, add_prefix_space: false, ...special });
}

/** SDXL-Base's own settings. */
const scheduler = {
  _class_name: "EulerDiscreteScheduler",
  ...stamp,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  clip_sample: false,
  interpolation_type: "linear",
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  sample_max_value: 1,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  timestep_spacing: "leading",
  trained_betas: null,
  use_karras_sigmas: false,
};

/** Stable Diffusion 2's own. */
const ddim = {
  _class_name: "DDIMScheduler",
  ...stamp,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  clip_sample: false,
  num_train_timesteps: 1000,
  prediction_type: "v_prediction",
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  trained_betas: null,
};

const classes = {
  scheduler: ["diffusers", "EulerDiscreteScheduler"],
  text_encoder: ["transformers", "CLIPTextModel"],
  text_encoder_2: ["transformers", "CLIPTextModelWithProjection"],
  tokenizer: ["transformers", "CLIPTokenizer"],
  tokenizer_2: ["transformers", "CLIPTokenizer"],
  unet: ["diffusers", "UNet2DConditionModel"],
  vae: ["diffusers", "AutoencoderKL"],
} as const;
type PartName = keyof typeof classes;

async function writeFolder(
  name: Name,
  folder: string,
  parts: readonly PartName[],
  clip: string,
): Promise<void> {
  const at = (part: PartName) => path.join(folder, part);
  const single = name === "sd2"; // one text encoder
  const belongs = (part: string) => !(single && part.endsWith("_2"));
  const write: Record<PartName, () => Promise<void>> = {
    scheduler: async () => {
      await mkdir(at("scheduler"), { recursive: true });
      await json(path.join(at("scheduler"), "scheduler_config.json"), single ? ddim : scheduler);
    },
    text_encoder: () => writeNetwork(at("text_encoder"), textPart(single ? "OpenCLIP ViT-H" : "CLIP ViT-L")),
    text_encoder_2: () => writeNetwork(at("text_encoder_2"), textPart("OpenCLIP ViT-bigG")),
    tokenizer: () => writeTokenizer(at("tokenizer"), clip, single ? "!" : "<|endoftext|>"),
    tokenizer_2: () => writeTokenizer(at("tokenizer_2"), clip, "!"),
    unet: () => writeNetwork(at("unet"), unetPart(name)),
    vae: () => writeNetwork(at("vae"), vaePart(name)),
  };
  await mkdir(folder, { recursive: true });
  for (const part of parts.filter(belongs)) await write[part]();
  const pipeline = single
    ? { _class_name: "StableDiffusionPipeline", ...stamp }
    : { _class_name: "StableDiffusionXLPipeline", ...stamp, force_zeros_for_empty_prompt: true };
  const own = Object.fromEntries(Object.entries(classes).filter(([part]) => belongs(part)));
  await json(path.join(folder, "model_index.json"), { ...pipeline, ...own });
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clip: { type: "string", default: "../shared/clip" },
    only: { type: "string" },
    single: { type: "string" },
  },
});
const [name, folder] = positionals;
if (!name || !(name in unets) || !folder) {
  throw new InvalidRequest("model", name, `must be ${Object.keys(unets).join(", ")} and a folder.`);
}
const all = Object.keys(classes) as PartName[];
const selected = values.only?.split(",") ?? all;
const unknown = selected.find((part) => !(all as string[]).includes(part));
if (unknown !== undefined) throw new InvalidRequest("only", unknown, `must name parts of ${all.join(", ")}.`);
const there = values.single !== undefined && (await kindOf(path.join(folder, "model_index.json")));
if (!there) await writeFolder(name as Name, folder, selected as PartName[], values.clip);
if (values.single !== undefined) {
  const { bytes } = await convertModel(folder, values.single, { engine: blockingEngine({ threads: 1 }) });
  console.log(`${values.single}: ${(bytes / 1e9).toFixed(2)} GB`);
}

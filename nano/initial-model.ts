/**
 * @file The model folder that the teacher's training begins with: configs, vocabulary, the trained autoencoder, and text
 * encoders and U-Net with random weights.
 */

import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { Generator } from "../src/diffusion/random.js";
import { clipConfig, clipText } from "../src/models/clip.js";
import { traceUnet } from "../src/models/trace.js";
import { unetConfig } from "../src/models/unet-config.js";
import { input } from "../src/tensor/operations.js";
import { manifest, type Params } from "../src/tensor/params.js";
import { count } from "../src/tensor/tensor.js";
import { randomWeight } from "../src/train/random-weights.js";
import { writeSafetensors } from "../src/weights/safetensors-file.js";
import * as configs from "./configs.js";
import { learnVocabulary } from "./tokenizer.js";

/** The most merges of the vocabulary; every word of the captions is one token with fewer. */
const mostMerges = 1200;

/**
 * The standard deviation of the text encoders' embedding tables. With CLIP's 0.02, what the attention adds, nearly the
 * same for every prompt, outweighs the words, which only a large training corrects.
 */
const tableDeviation = 1;

/** `images` is the folder of the U-Nets' training images, `vae` that of the autoencoder. */
export async function writeInitialModel(
  folder: string,
  { images, vae }: { images: string; vae: string },
): Promise<void> {
  const rows = (await readFile(path.join(images, "metadata.jsonl"), "utf8")).trim().split("\n");
  const { vocab, merges } = learnVocabulary(
    rows.map((row) => (JSON.parse(row) as { text: string }).text),
    mostMerges,
  );
  const vocabulary = Object.keys(vocab).length;
  for (const name of ["tokenizer", "tokenizer_2"]) {
    await writeJson(folder, `${name}/vocab.json`, vocab);
    await writeText(folder, `${name}/merges.txt`, merges);
    await writeJson(folder, `${name}/tokenizer_config.json`, configs.tokenizer);
    await writeJson(folder, `${name}/special_tokens_map.json`, configs.specialTokens);
  }
  await writeEncoder(folder, "text_encoder", configs.textEncoder(vocabulary), false);
  await writeEncoder(folder, "text_encoder_2", configs.textEncoder2(vocabulary), true);
  await writeJson(folder, "unet/config.json", configs.teacherUnet);
  const unet = (p: Params) => traceUnet(p, unetConfig(configs.teacherUnet));
  await writeWeights(folder, "unet/diffusion_pytorch_model.safetensors", unet);
  await writeJson(folder, "scheduler/scheduler_config.json", configs.scheduler);
  await mkdir(path.join(folder, "vae"), { recursive: true });
  for (const name of ["config.json", "diffusion_pytorch_model.safetensors"])
    await cp(path.join(vae, name), path.join(folder, "vae", name));
  await writeJson(folder, "model_index.json", configs.modelIndex);
}

async function writeEncoder(folder: string, name: string, config: object, projected: boolean): Promise<void> {
  await writeJson(folder, `${name}/config.json`, config);
  const c = clipConfig(config, { projected });
  await writeWeights(folder, `${name}/model.safetensors`, (p) =>
    clipText(p, c, input("ids", [1, c.maxTokens], "int64")),
  );
}

async function writeWeights(folder: string, name: string, trace: (p: Params) => unknown): Promise<void> {
  const shapes = manifest(trace);
  const generator = new Generator(0);
  const tensors = [...shapes].map(([key, shape]) => {
    const data = /(token|position)_embedding\.weight$/.test(key)
      ? generator.normal(count(shape)).map((x) => x * tableDeviation)
      : randomWeight(key, shapes, generator);
    return [key, { dtype: "F32" as const, shape, data }] as const;
  });
  await writeSafetensors(path.join(folder, name), new Map(tensors));
}

const writeJson = (folder: string, name: string, value: object) =>
  writeText(folder, name, `${JSON.stringify(value, undefined, 2)}\n`);

async function writeText(folder: string, name: string, text: string): Promise<void> {
  const file = path.join(folder, name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, text);
}

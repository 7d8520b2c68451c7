/**
 * @file `tsx test/small-model.ts`: writes test/data/koala-1b-tiny, the golden pipeline of that name with fewer layers
 * (one transformer block where KOALA-1B has up to ten, two layers of each text encoder, one residual block a stage of
 * the autoencoder), and LoRAs of them. It loads in a third of the processor time. For tests that compare no image with
 * Diffusers'; `serving.ts` names both.
 */

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openSafetensors, writeSafetensors } from "../src/weights/safetensors-file.js";

const golden = fileURLToPath(new URL("../golden/data/pipelines/", import.meta.url));
const to = fileURLToPath(new URL("data/", import.meta.url));
const model = "koala-1b-tiny";

/** The layers that are left out, by what their tensors are called. */
const beyondFirst = /transformer_blocks[._][1-9]/;
const beyondSecond = /layers[._][2-9][._]/;
const vaeBlocks = /(encoder\.down_blocks\.\d\.resnets\.1|decoder\.up_blocks\.\d\.resnets\.2)\./;

const encoder = { file: "model", config: { num_hidden_layers: 2 }, without: [beyondSecond] };
const unet = { transformer_layers_per_block: [0, 1, 1] };
const parts = {
  unet: { file: "diffusion_pytorch_model", config: unet, without: [beyondFirst] },
  text_encoder: encoder,
  text_encoder_2: encoder,
  vae: { file: "diffusion_pytorch_model", config: { layers_per_block: 1 }, without: [vaeBlocks] },
};

async function copyTensors(file: string, without: readonly RegExp[]): Promise<void> {
  const weights = await openSafetensors(golden + file);
  const kept = [...weights.tensors].filter(([name]) => !without.some((layers) => layers.test(name)));
  const read = kept.map(async ([name, { dtype, shape }]) => {
    return [name, { dtype, shape, data: await weights.read(name) }] as const;
  });
  await writeSafetensors(to + file, new Map(await Promise.all(read)));
}

for (const folder of [model, "lora"]) rmSync(to + folder, { recursive: true, force: true });
for (const name of ["model_index.json", "scheduler", "tokenizer", "tokenizer_2"])
  cpSync(`${golden}${model}/${name}`, `${to}${model}/${name}`, { recursive: true });
for (const [name, { file, config, without }] of Object.entries(parts)) {
  const part = `${model}/${name}`;
  mkdirSync(to + part);
  const own = JSON.parse(readFileSync(`${golden}${part}/config.json`, "utf8"));
  writeFileSync(`${to}${part}/config.json`, `${JSON.stringify({ ...own, ...config }, null, 2)}\n`);
  await copyTensors(`${part}/${file}.safetensors`, without);
}
mkdirSync(`${to}lora`);
for (const naming of ["diffusers", "kohya"])
  await copyTensors(`lora/${model}-${naming}.safetensors`, [beyondFirst, beyondSecond]);

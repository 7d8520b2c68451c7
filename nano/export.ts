/**
 * @file Export of the trained folder as it ships: weights in float16, only what loading needs, and beside it `koala.json`
 * (its defaults), `words.json` (its vocabulary), its card and its notices.
 */

import { cp, mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { float32ToFloat16 } from "../src/weights/half.js";
import { openSafetensors, writeSafetensors } from "../src/weights/safetensors-file.js";
import { backgrounds, styleNames } from "./data/captions.js";
import { readData } from "./data/dataset.js";

const weights = [
  "unet/diffusion_pytorch_model.safetensors",
  "vae/diffusion_pytorch_model.safetensors",
  "text_encoder/model.safetensors",
  "text_encoder_2/model.safetensors",
];
const tokenizer = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];
const texts = [
  "model_index.json",
  "scheduler/scheduler_config.json",
  ...["unet", "vae", "text_encoder", "text_encoder_2"].map((part) => `${part}/config.json`),
  ...["tokenizer", "tokenizer_2"].flatMap((part) => tokenizer.map((name) => `${part}/${name}`)),
];

/** What differs between the two bundled models. */
export type Edition = {
  /** Its card, in the folder `card`. */
  card: string;
  /** Steps and guidance, as `koala generate` takes them from its koala.json. */
  defaults: { steps: number; guidance: number };
  /** The folder of the evaluator that goes with it. */
  evaluator?: string;
};

type Folders = { model: string; vae: string; to: string };

/** A file of the folder `card`. */
export const cardFile = (name: string): string => fileURLToPath(new URL(`card/${name}`, import.meta.url));

/** `model` is complete; its autoencoder gives way to `vae`, whose latents are the same. */
export async function exportModel({ model, vae, to }: Folders, edition: Edition): Promise<void> {
  const { card, defaults, evaluator } = edition;
  await replaced(to, async (beside) => {
    await writeHalved({ model, vae, to: beside });
    if (evaluator !== undefined) await writeEvaluator(evaluator, path.join(beside, "evaluator"));
    await writeFile(path.join(beside, "koala.json"), json({ ...defaults, width: 128, height: 128 }));
    await writeFile(path.join(beside, "words.json"), json(words()));
    await cp(cardFile(card), path.join(beside, "README.md"));
    await cp(cardFile("NOTICE"), path.join(beside, "NOTICE"));
  });
}

const textParts = ["tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"];

/**
 * A trained folder in half precision with nothing beside it: what the repository keeps of a run. What is text lies in
 * `text` and is linked to, so that neither folder has more than 25 MB.
 */
export async function writeSnapshot(folders: Folders, text: string, reached: object): Promise<void> {
  await replaced(folders.to, async (beside) => {
    await writeHalved({ ...folders, to: beside });
    await replaced(text, async (textBeside) => {
      await mkdir(textBeside, { recursive: true });
      for (const part of textParts) {
        await rename(path.join(beside, part), path.join(textBeside, part));
        await symlink(path.join(path.relative(folders.to, text), part), path.join(beside, part));
      }
    });
    await writeFile(path.join(beside, "reached.json"), json(reached));
  });
}

/** Writes an evaluator in half precision. */
export async function writeEvaluator(from: string, to: string): Promise<void> {
  await replaced(to, async (beside) => {
    await mkdir(beside, { recursive: true });
    await cp(path.join(from, "config.json"), path.join(beside, "config.json"));
    await halve(path.join(from, "model.safetensors"), path.join(beside, "model.safetensors"));
  });
}

async function writeHalved({ model, vae, to }: Folders): Promise<void> {
  const source = (name: string) =>
    name.startsWith("vae/") ? path.join(vae, name.slice("vae/".length)) : path.join(model, name);
  for (const name of [...texts, ...weights])
    await mkdir(path.dirname(path.join(to, name)), { recursive: true });
  for (const name of texts) await cp(source(name), path.join(to, name), { dereference: true });
  for (const name of weights) await halve(source(name), path.join(to, name));
}

/** Written beside and renamed, in place of what was there. */
async function replaced(folder: string, write: (beside: string) => Promise<void>): Promise<void> {
  const beside = `${folder}.part`;
  await rm(beside, { recursive: true, force: true });
  await write(beside);
  await rm(folder, { recursive: true, force: true });
  await rename(beside, folder);
}

async function halve(from: string, to: string): Promise<void> {
  const file = await openSafetensors(from);
  const tensors = [...file.tensors].map(([name, { shape }]) => {
    const data = async () => float32ToFloat16(await file.readFloats(name));
    return [name, { dtype: "F16" as const, shape, data }] as const;
  });
  await writeSafetensors(to, new Map(tensors));
}

/** What `koala words` lists: everything a prompt for this model may hold. */
function words() {
  const { nouns, held } = readData();
  return {
    nouns: nouns.map(({ name, aliases }) => (aliases.length > 0 ? { name, aliases } : { name })),
    styles: Object.entries(styleNames).map(([set, [name, ...aliases]]) => ({ name, aliases, set })),
    backgrounds: Object.keys(backgrounds),
    heldOut: [...held].sort(),
  };
}

const json = (value: object) => `${JSON.stringify(value, undefined, 2)}\n`;

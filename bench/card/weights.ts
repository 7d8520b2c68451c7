/** @file The folders that are measured: of the real shapes with random float16 weights, made at their first use. */

import { existsSync } from "node:fs";
import { cp, link, mkdir, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { type Model, models } from "./models.js";

/** Runs `bench/make-model.ts` with these arguments. */
type Make = (args: readonly string[]) => Promise<void>;

/** What SDXL's family shares: made once, and linked into the other folders. */
const shared = ["text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "vae"];

/** Makes a model's folder in `root` unless it is there; a folder that was not finished has another name. */
export async function modelFolder(model: Model, root: string, clip: string, make: Make): Promise<string> {
  const folder = path.join(root, model.name);
  if (existsSync(path.join(folder, "model_index.json"))) return folder;
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  const others = models.filter(({ name, family }) => name !== model.name && family === model.family);
  const from = others.map(({ name }) => path.join(root, name)).find(holdsAll);
  const only = from === undefined ? [] : ["--only", "scheduler,unet"];
  await make([model.name, unfinished, "--clip", clip, ...only]);
  if (from !== undefined)
    for (const part of shared) await linkFiles(path.join(from, part), path.join(unfinished, part));
  await rename(unfinished, folder);
  return folder;
}

/** Removes what was not finished. */
export async function removeUnfinished(root: string): Promise<void> {
  for (const { name } of models)
    await rm(path.join(root, `${name}.unfinished`), { recursive: true, force: true });
}

const holdsAll = (folder: string) =>
  ["model_index.json", ...shared].every((name) => existsSync(path.join(folder, name)));

/** Hard links, since ONNX Runtime follows no others out of a folder; copies where the file system has none. */
async function linkFiles(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    const [source, target] = [path.join(from, name), path.join(to, name)];
    await link(source, target).catch(() => cp(source, target));
  }
}

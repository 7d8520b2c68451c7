/** @file The single files of a golden folder, built once each in a scratch folder. */

import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { kindOf, readdir } from "../../src/files/file-system.js";
import type { GoldenLayers } from "../conformance/layers.js";
import { buildFile, type Recipe, readRecipes } from "./recipe.js";

/** A file of a recipe, the folder that it was made of, and that folder without weights. */
type BuiltFile = { recipe: Recipe; file: string; folder: string; configs: string };

/** Builds files as they are asked for; `close` removes them. */
export class SingleFiles {
  readonly #layers: GoldenLayers;
  readonly #built = new Map<string, Promise<BuiltFile>>();
  #recipes: Promise<Map<string, Recipe>> | undefined;
  #scratch: Promise<string> | undefined;

  constructor(layers: GoldenLayers) {
    this.#layers = layers;
  }

  /** All recipes, by name; none where the folder has no such data. */
  async recipes(): Promise<ReadonlyMap<string, Recipe>> {
    const there = await kindOf(await this.#layers.locate("single/recipes.json"));
    this.#recipes ??= there ? readRecipes(this.#layers) : Promise.resolve(new Map());
    return this.#recipes;
  }

  built(name: string): Promise<BuiltFile> {
    const found = this.#built.get(name) ?? this.#build(name);
    this.#built.set(name, found);
    return found;
  }

  async #build(name: string): Promise<BuiltFile> {
    const recipe = (await this.recipes()).get(name);
    if (!recipe) throw new Error(`single/recipes.json: must have "${name}", which a run names`);
    this.#scratch ??= mkdtemp(path.join(tmpdir(), "golden-single-"));
    const file = path.join(await this.#scratch, `${name}.safetensors`);
    await writeFile(file, await buildFile(recipe, this.#layers));
    const folder = await this.#layers.complete(recipe.base);
    return { recipe, file, folder, configs: await this.#configs(folder, recipe.base) };
  }

  /** The base folder without its weights, so that nobody reads them from there. */
  async #configs(folder: string, base: string): Promise<string> {
    const copy = path.join(await this.#scratch!, base);
    for (const name of await readdir(folder, { recursive: true })) {
      const [from, to] = [path.join(folder, name), path.join(copy, name)];
      if ((await kindOf(from)) === "folder") await mkdir(to, { recursive: true });
      else if (!/safetensors/.test(name)) {
        await mkdir(path.dirname(to), { recursive: true });
        await copyFile(from, to);
      }
    }
    return copy;
  }

  async close(): Promise<void> {
    if (this.#scratch) await rm(await this.#scratch, { recursive: true, force: true });
  }
}

const replaced: Readonly<Record<string, "unet" | "vae" | "textEncoder" | "textEncoder2">> = {
  unet: "unet",
  vae: "vae",
  text_encoder: "textEncoder",
  text_encoder_2: "textEncoder2",
};

/** What a recipe's file is opened as: a model with another folder's configs, or a part over a folder. */
export async function openOptions(
  name: string,
  files: SingleFiles,
): Promise<{ model: string; options: Readonly<Record<string, string>> }> {
  const { recipe, file, configs, folder } = await files.built(name);
  if (recipe.expect.over !== undefined)
    return { model: folder, options: { [replaced[recipe.parts![0]!]!]: file } };
  const vae = recipe.vae === undefined ? {} : { vae: (await files.built(recipe.vae)).file };
  return { model: file, options: { config: configs, ...vae } };
}

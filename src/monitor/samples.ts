/** @file The validation images of a training run: `samples/step-000100/{prompts.json,0.png,...}`. */

import path from "node:path";
import { z } from "zod";
import { ModelError } from "../errors.js";
import { ifThere, readdir, readFile, stat, writeWhole } from "../files/file-system.js";
import { schemaProblem } from "../validation.js";
import { promptsFile, samplesFolder, stepFolder, stepOf } from "./run-folder.js";

const imageFile = /^\d{1,6}\.png$/;

/** The folder of the validation images after optimizer step `step`. */
export const sampleFolder = (runFolder: string, step: number): string =>
  path.join(runFolder, samplesFolder, stepFolder(step));

const promptsSchema = z.array(
  z.object({
    prompt: z.string(),
    /** As text where it does not fit a JavaScript number. */
    seed: z.union([z.number(), z.string()]),
    file: z.string().regex(imageFile),
  }),
);

/** What `prompts.json` holds: which image shows which prompt. */
export type SamplePrompts = z.infer<typeof promptsSchema>;

/** Writes `prompts.json` into a folder of validation images, which are complete from then on. */
export async function writePrompts(folder: string, prompts: SamplePrompts): Promise<void> {
  await writeWhole(path.join(folder, promptsFile), `${JSON.stringify(prompts, undefined, 2)}\n`);
}

/** The images after optimizer step `step`; `folder` is the name within `samples`. */
export type Samples = { step: number; folder: string; images: SamplePrompts };

/** Lists the generated steps, keeping what it has read of folders that have not changed since. */
export class SampleList {
  readonly #root: string;
  readonly #known = new Map<string, { modified: number; samples: Samples }>();

  constructor(runFolder: string) {
    this.#root = path.join(runFolder, samplesFolder);
  }

  /** In order of step. A folder without its `prompts.json`, which is written last, is still being generated. */
  async read(): Promise<Samples[]> {
    const names = await ifThere(() => readdir(this.#root));
    const steps = (names ?? []).filter((name) => stepOf(name) !== undefined);
    const found = await Promise.all(steps.map((name) => this.#step(name)));
    return found.filter((samples) => samples !== undefined).sort((a, b) => a.step - b.step);
  }

  async #step(folder: string): Promise<Samples | undefined> {
    const file = path.join(this.#root, folder, promptsFile);
    const modified = (await ifThere(() => stat(file)))?.mtimeMs;
    if (modified === undefined) return undefined;
    const known = this.#known.get(folder);
    if (known?.modified === modified) return known.samples;
    const samples = { step: stepOf(folder)!, folder, images: await readPrompts(file) };
    this.#known.set(folder, { modified, samples });
    return samples;
  }
}

async function readPrompts(file: string): Promise<SamplePrompts> {
  const text = await readFile(file, "utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ModelError(file, `must be JSON, got ${(error as Error).message}.`);
  }
  const { data, error } = promptsSchema.safeParse(value);
  if (data) return data;
  const { field, rule } = schemaProblem(error, value);
  throw new ModelError(file, `${field || "the list"}: ${rule}`);
}

/**
 * The image that a request's path names, "step-000100/0.png", or undefined. Only names of the two fixed forms
 * are ever joined to the run's folder, so no request reaches another file.
 */
export function samplePath(runFolder: string, requested: string): string | undefined {
  const [folder = "", file = "", ...more] = requested.split("/");
  if (more.length > 0 || stepOf(folder) === undefined || !imageFile.test(file)) return undefined;
  return path.join(runFolder, samplesFolder, folder, file);
}

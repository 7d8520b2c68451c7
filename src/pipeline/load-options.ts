/** @file The options of opening a model, and their check before anything is read or downloaded. */

import type { Engine } from "../engine/engine.js";
import { checkThreads } from "../engine/thread-count.js";
import { InvalidRequest } from "../errors.js";
import type { DownloadProgress } from "../hub/fetch.js";
import { checkOptionNames, type OptionNames } from "../validation.js";
import type { Embedding } from "./embeddings.js";
import type { Lora } from "./lora.js";

export type LoadOptions = {
  /** Branch, tag or commit of a model on the Hub. "main" if left out, unless the model's name has one. */
  revision?: string;
  /**
   * File variant such as "fp16", for every component that has it. If left out the plain files, else the only variant.
   */
  variant?: string;
  /**
   * The stored precision to take where a component has both; arithmetic on the CPU is float32 either way. "float32" if
   * left out.
   */
  dtype?: "float32" | "float16";
  /**
   * Another U-Net: a folder with its config.json, the folder of a whole model, or a file of weights. A file without a
   * config.json beside it is used with the folder's, as SDXL-Lightning ships.
   */
  unet?: string;
  /**
   * Another autoencoder: a folder with its config.json, the folder of a whole model, or a file: of an AutoencoderKL in
   * Diffusers' names or the original ones, or TAESD's decoder, with the encoder's beside it. A file without a config.json
   * beside it decodes with the scaling factor of the model's own autoencoder, which it replaces.
   */
  vae?: string;
  /** Added to the weights of U-Net and text encoders, all of them together. None if left out. */
  loras?: readonly Lora[];
  /**
   * Textual inversions: words in prompts that stand for the vectors of a file. None if left out. As in Diffusers, a text
   * with one is pooled at the last of its vectors where the text encoder's `eos_token_id` is 2, else at the end token.
   */
  embeddings?: readonly Embedding[];
  /** Threads of one operation. 0, the default, is one per core. */
  threads?: number;
  /** Called while files are downloaded, with the bytes done and in all. */
  onProgress?: (progress: DownloadProgress) => void;
  /** Stops a download, with a `Cancelled` error; what was downloaded is kept. */
  signal?: AbortSignal;
  /**
   * Runs the networks; a new one in a worker thread of its own if left out, which `close` ends.
   *
   * @internal
   */
  engine?: Engine;
};

const loadNames: OptionNames<LoadOptions> = {
  revision: true,
  variant: true,
  dtype: true,
  unet: true,
  vae: true,
  loras: true,
  embeddings: true,
  threads: true,
  onProgress: true,
  signal: true,
  engine: true,
};

const loraNames: OptionNames<Lora> = { file: true, scale: true };
const embeddingNames: OptionNames<Embedding> = { token: true, file: true };

/** Throws an InvalidRequest that names the option. */
export function checkLoadOptions(options: LoadOptions): void {
  checkOptionNames("fromPretrained", options, loadNames);
  for (const lora of options.loras ?? []) checkOptionNames("a LoRA", lora, loraNames);
  for (const one of options.embeddings ?? []) checkOptionNames("an embedding", one, embeddingNames);
  const { dtype, threads = 0 } = options;
  checkThreads(threads);
  if (dtype === undefined || ["float32", "float16"].includes(dtype)) return;
  throw new InvalidRequest("dtype", dtype, `must be "float32" or "float16", got ${JSON.stringify(dtype)}.`);
}

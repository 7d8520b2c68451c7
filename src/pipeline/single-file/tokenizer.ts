/**
 * @file The tokenizer of a single file, which holds none. CLIP's vocabulary is the same for all families; what differs is
 * the token that fills a prompt up.
 */

import { ModelError } from "../../errors.js";
import { kindOf } from "../../files/file-system.js";
import path from "../../files/path.js";
import { clipTokenizerId, resolveClipTokenizer } from "../../hub/resolve-tokenizer.js";
import type { SnapshotOptions } from "../../hub/snapshot.js";
import type { ModelSource, TokenizerSource } from "../../weights/model-source.js";
import type { ModelKind } from "./configs.js";

export type TokenizerOptions = Pick<
  SnapshotOptions,
  "onProgress" | "signal" | "confirmDownload" | "token" | "endpoint"
> & {
  /** A folder with CLIP's vocab.json and merges.txt or tokenizer.json, or of a model that has such a folder. */
  tokenizer?: string;
};

type Of = { path: string; className: string; kind: ModelKind; configs: ModelSource | undefined };

/** From the options' folder, else the configs' folder, else the Hub's cache, else the Hub. */
export async function tokenizerSource(
  name: string,
  { path: file, kind, configs }: Of,
  { tokenizer, ...options }: TokenizerOptions,
): Promise<TokenizerSource> {
  if (tokenizer !== undefined) {
    const inside = path.join(tokenizer, name);
    if ((await kindOf(inside)) === "folder") return { path: inside };
    const first = path.join(tokenizer, "tokenizer");
    return padded((await kindOf(first)) === "folder" ? first : tokenizer, name, kind);
  }
  if (configs?.components.has(name) && (await holdsTokenizer(configs.component(name).path)))
    return configs.tokenizer(name);
  try {
    return padded(await resolveClipTokenizer(options), name, kind);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    const rule = `must have CLIP's tokenizer beside it, which no single file holds, got none, and ${clipTokenizerId} cannot be had`;
    const remedy =
      "Add --tokenizer FOLDER (tokenizer in the library) with CLIP's vocab.json and merges.txt, or --config FOLDER of a whole model.";
    throw new ModelError(file, `${rule} (${error.message}). ${remedy}`);
  }
}

async function holdsTokenizer(folder: string): Promise<boolean> {
  for (const name of ["vocab.json", "tokenizer.json"])
    if ((await kindOf(path.join(folder, name))) === "file") return true;
  return false;
}

/** SDXL's second tokenizer and Stable Diffusion 2's fill up with "!", the others with the end token. */
const padded = (folder: string, name: string, kind: ModelKind): TokenizerSource =>
  name === "tokenizer_2" || kind === "sd2" ? { path: folder, padToken: "!" } : { path: folder };

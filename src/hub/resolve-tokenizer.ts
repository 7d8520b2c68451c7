/** @file CLIP's tokenizer from the Hub's cache, or from the Hub: single files hold none, and all families share it. */

import { listed, ModelError } from "../errors.js";
import { ensureSnapshot, type Listing, type SelectionPlan, type SnapshotOptions } from "./snapshot.js";

/** The repository that Transformers takes CLIP's tokenizer from. */
export const clipTokenizerId = "openai/clip-vit-large-patch14";

const needed = ["vocab.json", "merges.txt"];
const wanted = [...needed, "tokenizer_config.json", "special_tokens_map.json"];

/** The folder with the tokenizer's files; only these are downloaded. ModelError, Cancelled. */
export async function resolveClipTokenizer(options: SnapshotOptions = {}): Promise<string> {
  const model = { id: clipTokenizerId, revision: "main" };
  return (await ensureSnapshot(model, plan, options)).folder;
}

const plan: SelectionPlan = {
  select: async ({ names }: Listing) => ({
    files: wanted.filter((name) => names.includes(name)),
    indexes: [],
    missing: needed.filter((name) => !names.includes(name)),
  }),
  refuse: (missing) =>
    new ModelError(clipTokenizerId, `must hold ${listed(missing)}, got a repository without them.`, {
      missing: [...missing],
    }),
};

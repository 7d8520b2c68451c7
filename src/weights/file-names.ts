/** @file The names that weights have in a diffusers folder, on disk or on the Hub. Pure: names in, names out. */

/** One way to load a part: a single file, or the index of its shards; `variant` is "" for plain files. */
export type WeightFile = { name: string; variant: string; indexed: boolean; stem: string };

// Diffusers writes the variant of an index after ".index", Transformers and older tools before ".safetensors".
const single = /^(diffusion_pytorch_model|model)(?:\.([^.]+))?\.safetensors$/;
const index = /^(diffusion_pytorch_model|model)(?:\.([^.]+))?\.safetensors\.index(?:\.([^.]+))?\.json$/;
const shard = /-\d{5}-of-\d{5}\.safetensors$/;

export const isShard = (name: string): boolean => shard.test(name);

/** Those of `names` that a part can be loaded from, the preferred kind first. */
export const weightFiles = (names: readonly string[]): WeightFile[] =>
  names.flatMap(weightFile).sort((a, b) => preference(a) - preference(b));

function weightFile(name: string): WeightFile[] {
  const found = index.exec(name) ?? (isShard(name) ? null : single.exec(name));
  if (!found) return [];
  const variant = found[2] ?? found[3] ?? "";
  return [{ name, variant, indexed: name.endsWith(".json"), stem: found[1]! }];
}

/** Where both lie there, Diffusers loads the shards, Transformers the single file. */
function preference({ stem, indexed }: WeightFile): number {
  return stem === "model" ? (indexed ? 3 : 2) : indexed ? 0 : 1;
}

/** Parts that model_index.json may name and that no pipeline here reads: a download may leave them out. */
export const unreadParts: readonly string[] = ["safety_checker", "feature_extractor", "image_encoder"];

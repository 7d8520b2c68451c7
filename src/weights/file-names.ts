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

/** Whether a file of this name is a pickle checkpoint, whose loading runs whatever code it holds. */
export const isPickle = (name: string): boolean => /\.(bin|ckpt|pth?|pkl)$/i.test(name);

/** Whether a name is that of a file of weights, pickled or not. */
export const isWeights = (name: string): boolean => name.endsWith(".safetensors") || isPickle(name);

/** Parts that model_index.json may name and that no pipeline here reads: a download may leave them out. */
export const unreadParts: readonly string[] = ["safety_checker", "feature_extractor", "image_encoder"];

/**
 * The files among which a LoRA is to be looked for: those under the name that Diffusers writes, else all that are no
 * part of a training run. With more than one, Diffusers takes the first and warns; here one must be named.
 */
export function loraFiles(names: readonly string[]): string[] {
  const candidates = names.filter(
    (name) => name.endsWith(".safetensors") && !/scheduler|optimizer|checkpoint/.test(name),
  );
  const usual = candidates.filter((name) => name.endsWith("pytorch_lora_weights.safetensors"));
  return usual.length > 0 ? usual : candidates;
}

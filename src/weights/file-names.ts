/** @file The names of weight files in a Diffusers folder, on disk or on the Hub. */

/** Weights of a component: a single file, or the index of its shards; `variant` is "" for plain files. */
export type WeightFile = { name: string; variant: string; indexed: boolean; stem: string };

/** The name that asks for the files without a variant, where a component has both. */
export const plainFiles = "plain";

// Diffusers writes the variant of an index after ".index", Transformers and older tools before ".safetensors".
const single = /^(diffusion_pytorch_model|model)(?:\.([^.]+))?\.safetensors$/;
const index = /^(diffusion_pytorch_model|model)(?:\.([^.]+))?\.safetensors\.index(?:\.([^.]+))?\.json$/;
const shard = /-\d{5}-of-\d{5}\.safetensors$/;

export const isShard = (name: string): boolean => shard.test(name);

/** The files of `names` that a component can be loaded from, the preferred kind first. */
export const weightFiles = (names: readonly string[]): WeightFile[] =>
  names.flatMap(weightFile).sort((a, b) => preference(a) - preference(b));

function weightFile(name: string): WeightFile[] {
  const found = index.exec(name) ?? (isShard(name) ? null : single.exec(name));
  if (!found) return [];
  const variant = found[2] ?? found[3] ?? "";
  return [{ name, variant, indexed: name.endsWith(".json"), stem: found[1]! }];
}

/** Of both kinds, Diffusers loads the shards and Transformers the single file. */
function preference({ stem, indexed }: WeightFile): number {
  return stem === "model" ? (indexed ? 3 : 2) : indexed ? 0 : 1;
}

/** Whether a file of this name is a pickle checkpoint, whose loading runs the code in it. */
export const isPickle = (name: string): boolean => /\.(bin|ckpt|pth?|pkl)$/i.test(name);

/** Whether a name is that of a file of weights, pickled or not. */
export const isWeights = (name: string): boolean => name.endsWith(".safetensors") || isPickle(name);

/** Components of model_index.json without which a model opens: those of its safety checker, and what no pipeline here reads. */
export const optionalComponents: readonly string[] = [
  "safety_checker",
  "feature_extractor",
  "image_encoder",
  "controlnet",
];

/** What is one file, and may be given as the folder or repository that has it. */
export type FileKind = "lora" | "embedding";

/** What the kinds are called, and the name that Diffusers gives their file. */
export const fileKinds: Readonly<Record<FileKind, { noun: string; usual: string }>> = {
  lora: { noun: "LoRA", usual: "pytorch_lora_weights.safetensors" },
  embedding: { noun: "embedding", usual: "learned_embeds.safetensors" },
};

/**
 * The files that may be a LoRA or an embedding: those with the name that Diffusers writes, otherwise all but those of a
 * training run's state. Of several, Diffusers loads the first and warns; here one must be named.
 */
export function filesOfKind(kind: FileKind, names: readonly string[]): string[] {
  const candidates = names.filter(
    (name) => name.endsWith(".safetensors") && !/scheduler|optimizer|checkpoint/.test(name),
  );
  const usual = candidates.filter((name) => name.endsWith(fileKinds[kind].usual));
  return usual.length > 0 ? usual : candidates;
}

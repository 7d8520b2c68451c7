/**
 * @file Text encoders outside of Diffusers' folders: the names of their tensors in Hugging Face's and in open_clip's
 * code, and the config that follows from shapes. Independent of weights.
 */

/** How a file names the tensors of a text encoder. */
export type ClipNaming = "transformers" | "open_clip";

/** Text encoders in a file: what stands before their names, and which names follow. */
export type FoundClip = { prefix: string; naming: ClipNaming };

const tables: Readonly<Record<ClipNaming, RegExp>> = {
  transformers: /^(.*?)(?:text_model\.)?embeddings\.token_embedding\.weight$/,
  open_clip: /^(.*?)token_embedding\.weight$/,
};

/** The text encoders among these names, in their order. Any prefix is understood. */
export function clipsIn(names: Iterable<string>): FoundClip[] {
  const found: FoundClip[] = [];
  for (const name of names) {
    if (!name.endsWith("token_embedding.weight")) continue;
    const naming = tables.transformers.test(name) ? "transformers" : "open_clip";
    found.push({ prefix: tables[naming].exec(name)![1]!, naming });
  }
  return found;
}

/** What becomes of a tensor: a name, or three for the rows of query, key and value. */
export type ClipTarget =
  | { kind: "copy" | "transpose"; name: string }
  | { kind: "rows"; names: readonly [string, string, string] };

const inLayer: Readonly<Record<string, string>> = {
  ln_1: "layer_norm1",
  ln_2: "layer_norm2",
  "mlp.c_fc": "mlp.fc1",
  "mlp.c_proj": "mlp.fc2",
  "attn.out_proj": "self_attn.out_proj",
};

const outside: Readonly<Record<string, ClipTarget>> = {
  "token_embedding.weight": { kind: "copy", name: "text_model.embeddings.token_embedding.weight" },
  positional_embedding: { kind: "copy", name: "text_model.embeddings.position_embedding.weight" },
  "ln_final.weight": { kind: "copy", name: "text_model.final_layer_norm.weight" },
  "ln_final.bias": { kind: "copy", name: "text_model.final_layer_norm.bias" },
  // A matrix that is multiplied from the right, where a linear layer's is from the left.
  text_projection: { kind: "transpose", name: "text_projection.weight" },
  "text_projection.weight": { kind: "copy", name: "text_projection.weight" },
};

/** Diffusers' names for a tensor of open_clip's (without prefix); undefined for one that no encoder here has. */
export function openClipTarget(name: string): ClipTarget | undefined {
  if (Object.hasOwn(outside, name)) return outside[name];
  const [, layer, inner] = /^transformer\.resblocks\.(\d+)\.(.+)$/.exec(name) ?? [];
  if (layer === undefined || inner === undefined) return undefined;
  const at = `text_model.encoder.layers.${layer}`;
  const fused = /^attn\.in_proj_(weight|bias)$/.exec(inner)?.[1];
  const part = (which: string) => `${at}.self_attn.${which}_proj.${fused}`;
  if (fused) return { kind: "rows", names: [part("q"), part("k"), part("v")] };
  const [, path = "", end = ""] = /^(.+)\.(weight|bias)$/.exec(inner) ?? [];
  return Object.hasOwn(inLayer, path) ? { kind: "copy", name: `${at}.${inLayer[path]}.${end}` } : undefined;
}

/** The reverse: open_clip's name of one of Diffusers' tensors; of query, key and value which third of its rows they are. */
export function openClipName(name: string): { name: string; third?: number; transposed?: true } | undefined {
  const [known] =
    Object.entries(outside).find(([, target]) => "name" in target && target.name === name) ?? [];
  if (known !== undefined)
    return known === "text_projection" ? { name: known, transposed: true } : { name: known };
  const [, layer, path, end] = /^text_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  if (layer === undefined) return undefined;
  const at = `transformer.resblocks.${layer}`;
  const third = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].indexOf(path!);
  if (third >= 0) return { name: `${at}.attn.in_proj_${end}`, third };
  const [inner] = Object.entries(inLayer).find(([, now]) => now === path) ?? [];
  return inner === undefined ? undefined : { name: `${at}.${inner}.${end}` };
}

/** Columns of a head in all of CLIP's text encoders. */
const headWidth = 64;

/**
 * The fields of `config.json` that follow from the shapes of tensors in Diffusers' names, for an encoder of the published
 * kinds; undefined where tensors are missing or the width is not one of whole heads. OpenAI's encoder has the quick
 * GELU, open_clip's the exact one.
 */
export function inferredClipConfig(
  shapes: ReadonlyMap<string, readonly number[]>,
  naming: ClipNaming,
): Readonly<Record<string, unknown>> | undefined {
  const of = (name: string) => shapes.get(`text_model.${name}`);
  const [tokens, positions, wide] = [
    of("embeddings.token_embedding.weight"),
    of("embeddings.position_embedding.weight"),
    of("encoder.layers.0.mlp.fc1.weight"),
  ];
  if (!tokens || !positions || !wide || tokens[1]! % headWidth !== 0) return undefined;
  let layers = 0;
  while (of(`encoder.layers.${layers}.layer_norm1.weight`)) layers++;
  const [vocabulary, width] = tokens as [number, number];
  // Of a projected encoder in Hugging Face's names only bigG is used, which open_clip trained.
  const projection = shapes.get("text_projection.weight");
  const isOpenClip = naming === "open_clip" || projection !== undefined;
  return {
    hidden_act: isOpenClip ? "gelu" : "quick_gelu",
    hidden_size: width,
    intermediate_size: wide[0],
    max_position_embeddings: positions[0],
    num_attention_heads: width / headWidth,
    num_hidden_layers: layers,
    projection_dim: projection?.[0] ?? width,
    vocab_size: vocabulary,
  };
}

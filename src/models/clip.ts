/**
 * @file The text encoders of Stable Diffusion: CLIP ViT-L/14 (1 and XL), OpenCLIP ViT-H (2) and ViT-bigG (XL). The images'
 * side of CLIP is `clip-vision.ts`.
 *
 * Weight paths are those of `text_encoder/model.safetensors`. B batch, N tokens, D width.
 */

import * as z from "zod/mini";
import { ModelError } from "../errors.js";
import { embedding, layerNorm, linear } from "../nn.js";
import { add, argmax, attention, gelu, mul, pick, quickGelu, slice } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { ignored, only, parseConfig, positive, size } from "./config.js";

/** The fields of a tower's transformer, with the defaults of `CLIPTextConfig`. */
export const transformerFields = {
  hidden_size: z._default(size, 512),
  intermediate_size: z._default(size, 2048),
  num_hidden_layers: z._default(size, 12),
  num_attention_heads: z._default(size, 8),
  hidden_act: z._default(z.enum(["gelu", "quick_gelu"], 'must be "gelu" or "quick_gelu"'), "quick_gelu"),
  layer_norm_eps: z._default(positive, 1e-5),
};

/** The fields of transformers' `CLIPTextConfig` with its defaults. */
const schema = z.object({
  ...transformerFields,
  architectures: z.nullish(z.array(z.string())),
  vocab_size: z._default(size, 49408),
  projection_dim: z._default(size, 512),
  max_position_embeddings: z._default(size, 77),
  model_type: only("clip_text_model"),
  eos_token_id: z._default(z.int("must be a token id"), 49407),
  /** Without effect on a forward pass with given weights. */
  attention_dropout: ignored,
  dropout: ignored,
  initializer_factor: ignored,
  initializer_range: ignored,
  pad_token_id: ignored,
  bos_token_id: ignored,
  torch_dtype: ignored,
  dtype: ignored,
  transformers_version: ignored,
});

/** The transformer that both of CLIP's towers are made of. */
export type ClipTransformer = {
  width: number;
  layers: number;
  heads: number;
  hidden: number;
  eps: number;
  activation: "gelu" | "quick_gelu";
};

export type ClipConfig = ClipTransformer & {
  vocabulary: number;
  maxTokens: number;
  /**
   * The place that is pooled: the first of the highest ids, which is the end token unless ids were added, or the end token
   * itself. Transformers takes the first where `eos_token_id` is 2.
   */
  pools: "highest" | "end";
  /** Width of the pooled embedding, for `CLIPTextModelWithProjection`. */
  projection: number | undefined;
};

/** Reads the parsed `config.json` of a text encoder of class `CLIPTextModel` or `CLIPTextModelWithProjection`. */
export function clipConfig(
  json: unknown,
  { projected, file = "text_encoder/config.json" }: { projected: boolean; file?: string },
): ClipConfig {
  const c = parseConfig(schema, json, file);
  if (c.eos_token_id !== 2 && c.eos_token_id !== c.vocab_size - 1) {
    const rule = `must be ${c.vocab_size - 1}, the highest id, or 2, which in old files stands for it`;
    throw new ModelError(
      file,
      `eos_token_id: ${rule}, got ${c.eos_token_id}. Pooling at another token is not implemented.`,
    );
  }
  return {
    ...transformerConfig(c, file),
    vocabulary: c.vocab_size,
    maxTokens: c.max_position_embeddings,
    pools: c.eos_token_id === 2 ? "highest" : "end",
    projection: projected ? c.projection_dim : undefined,
  };
}

/** What the configs of both towers call the same; ModelError for heads that do not divide the width. */
export function transformerConfig(
  c: Pick<z.output<typeof schema>, keyof typeof transformerFields>,
  file: string,
): ClipTransformer {
  if (c.hidden_size % c.num_attention_heads !== 0) {
    throw new ModelError(
      file,
      `num_attention_heads: must divide hidden_size ${c.hidden_size}, got ${c.num_attention_heads}.`,
    );
  }
  return {
    width: c.hidden_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    hidden: c.intermediate_size,
    eps: c.layer_norm_eps,
    activation: c.hidden_act,
  };
}

export type Encoding = {
  /** The state before the first layer and after each: (layers + 1) x [B, N, D] */
  hidden: readonly Tensor[];
  /** The last of them, normalised: [B, N, D] */
  last: Tensor;
  /** `last` at the first of the highest ids, which is the end token unless `Replaced` says otherwise: [B, D] */
  pooled: Tensor;
  /** `pooled`, projected, where the config has a projection: [B, P] */
  textEmbeds: Tensor | undefined;
};

/** What textual inversions put in place of tokens. */
export type Replaced = {
  /** 1 where the token has the vocabulary's vector, 0 where it has one of `vectors`: [B, N, 1] */
  kept: Tensor;
  /** 0 where the token has the vocabulary's: [B, N, D] */
  vectors: Tensor;
  /** The first of the highest is pooled: [B, N] */
  pooledIds: Tensor;
};

/** ids: [B, N] -> every state that a pipeline may need */
export function clipText(p: Params, c: ClipConfig, ids: Tensor, replaced?: Replaced): Encoding {
  const text = p.at("text_model");
  const embed = text.at("embeddings");
  const N = ids.shape[1]!;
  const table = embed.get("position_embedding.weight", [c.maxTokens, c.width]);
  const positions = N === c.maxTokens ? table : slice(table, 0, 0, N);
  const own = embedding(embed.at("token_embedding"), ids, c.vocabulary, c.width);
  let h = add(replaced ? add(mul(own, replaced.kept), replaced.vectors) : own, positions);
  const hidden = [h];
  for (let i = 0; i < c.layers; i++)
    hidden.push((h = clipLayer(text.at("encoder.layers", i), c, h, { causal: true })));
  const last = finalNorm(p, c, h);
  const pooled = pick(last, argmax(replaced?.pooledIds ?? ids, 1));
  const project = (width: number) => linear(p.at("text_projection"), pooled, width, { bias: false });
  return { hidden, last, pooled, textEmbeds: c.projection === undefined ? undefined : project(c.projection) };
}

/** The norm after the last layer; SD 2's pipeline applies it to an earlier layer when it skips some. */
export const finalNorm = (p: Params, c: ClipConfig, h: Tensor): Tensor =>
  layerNorm(p.at("text_model.final_layer_norm"), h, { eps: c.eps });

type Masked = { causal?: boolean };

/** One layer of either tower; of the text's, a token attends to those before it. x: [B, N, D] */
export function clipLayer(p: Params, c: ClipTransformer, x: Tensor, masked: Masked = {}): Tensor {
  const act = c.activation === "gelu" ? gelu : quickGelu;
  return p.layer(() => {
    const h = add(x, attend(p.at("self_attn"), c, layerNorm(p.at("layer_norm1"), x, { eps: c.eps }), masked));
    const wide = act(linear(p.at("mlp.fc1"), layerNorm(p.at("layer_norm2"), h, { eps: c.eps }), c.hidden));
    return add(h, linear(p.at("mlp.fc2"), wide, c.width));
  });
}

function attend(p: Params, c: ClipTransformer, x: Tensor, masked: Masked): Tensor {
  return p.layer(() => {
    const [q, k, v] = ["q_proj", "k_proj", "v_proj"].map((n) => linear(p.at(n), x, c.width)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    return linear(p.at("out_proj"), attention(q, k, v, c.heads, masked), c.width);
  });
}

/**
 * The path of a tensor by the name that it has in a file. In files of Transformers 5.6 or later `CLIPTextModel` has no
 * prefix `text_model`; `CLIPTextModelWithProjection` still has. Either class is read under either name.
 */
export const clipName = (name: string): string =>
  /^(embeddings|encoder|final_layer_norm)\./.test(name) ? `text_model.${name}` : name;

/** The name of a path without the prefix `text_model`. */
export const flatClipName = (name: string): string | undefined =>
  name.startsWith("text_model.") ? name.slice("text_model.".length) : undefined;

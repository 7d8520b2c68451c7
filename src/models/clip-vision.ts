/**
 * @file The images' side of CLIP (Radford et al. 2021), OpenAI's and OpenCLIP's: a vision transformer, and the projection
 * into the space of texts and images.
 *
 * Weight paths are those of transformers' `CLIPModel`. B batch, P patches, D width.
 */

import * as z from "zod/mini";
import { ModelError } from "../errors.js";
import { conv2d, layerNorm, linear, tokens } from "../nn.js";
import { add, concat, expand, keep, reshape, slice } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import {
  type ClipConfig,
  type ClipTransformer,
  clipConfig,
  clipLayer,
  transformerConfig,
  transformerFields,
} from "./clip.js";
import { ignored, only, parseConfig, positive, size } from "./config.js";

/** The fields of transformers' `CLIPVisionConfig` with its defaults. */
const visionSchema = z.object({
  ...transformerFields,
  hidden_size: z._default(size, 768),
  intermediate_size: z._default(size, 3072),
  num_attention_heads: z._default(size, 12),
  image_size: z._default(size, 224),
  patch_size: z._default(size, 32),
  projection_dim: z._default(size, 512),
  num_channels: only(3),
  model_type: only("clip_vision_model"),
  /** Without effect on a forward pass with given weights. */
  attention_dropout: ignored,
  dropout: ignored,
  initializer_factor: ignored,
  initializer_range: ignored,
});

const object = z.record(z.string(), z.unknown());

/** The fields of transformers' `CLIPConfig` with its defaults. */
const modelSchema = z.object({
  model_type: only("clip"),
  projection_dim: z._default(size, 512),
  text_config: z.nullish(object),
  vision_config: z.nullish(object),
  text_config_dict: z.nullish(object),
  vision_config_dict: z.nullish(object),
  logit_scale_init_value: z.optional(positive),
  initializer_factor: ignored,
});

/** Fields of every transformers model: about generating text, training and bookkeeping. None changes an embedding. */
const common: ReadonlySet<string> = new Set(
  (
    "architectures bad_words_ids begin_suppress_tokens chunk_size_feed_forward cross_attention_hidden_size " +
    "decoder_start_token_id diversity_penalty dtype encoder_no_repeat_ngram_size exponential_decay_length_penalty " +
    "finetuning_task forced_bos_token_id forced_eos_token_id id2label label2id length_penalty max_length min_length " +
    "no_repeat_ngram_size num_beam_groups num_beams num_return_sequences prefix problem_type repetition_penalty " +
    "return_dict sep_token_id suppress_tokens task_specific_params temperature tie_word_embeddings tokenizer_class " +
    "top_k top_p torch_dtype transformers_version typical_p"
  ).split(" "),
);

const withoutCommon = (json: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(json).filter(
      ([key, value]) => !common.has(key) && !(key === "pruned_heads" && JSON.stringify(value) === "{}"),
    ),
  );

export type ClipVisionConfig = ClipTransformer & {
  /** Height and width of an image, and of a patch, in pixels. */
  imageSize: number;
  patchSize: number;
  /** Width of an embedding. */
  projection: number;
};

/** Reads a `CLIPVisionConfig`; ModelError. */
export function clipVisionConfig(json: object, file: string): ClipVisionConfig {
  const c = parseConfig(visionSchema, withoutCommon(json), file);
  if (c.patch_size > c.image_size)
    throw new ModelError(
      file,
      `patch_size: must be at most image_size ${c.image_size}, got ${c.patch_size}.`,
    );
  return {
    ...transformerConfig(c, file),
    imageSize: c.image_size,
    patchSize: c.patch_size,
    projection: c.projection_dim,
  };
}

/** Both towers of a `CLIPModel`. */
export type ClipModelConfig = { text: ClipConfig; vision: ClipVisionConfig };

/** Reads the parsed `config.json` of a `CLIPModel`; ModelError. */
export function clipModelConfig(json: object, file: string): ClipModelConfig {
  const c = parseConfig(modelSchema, withoutCommon(json), file);
  const projection = { projection_dim: c.projection_dim };
  // In old files the `_dict` has what counts, and the other one defaults.
  const text = withoutCommon(c.text_config_dict ?? c.text_config ?? {});
  const vision = withoutCommon(c.vision_config_dict ?? c.vision_config ?? {});
  return {
    text: clipConfig({ ...text, ...projection }, { projected: true, file: `${file}: text_config` }),
    vision: clipVisionConfig({ ...vision, ...projection }, `${file}: vision_config`),
  };
}

/** pixels: [B, 3, size, size], as `clipPixels` makes them -> the class token, normalised: [B, D] */
export function clipVision(p: Params, c: ClipVisionConfig, pixels: Tensor): Tensor {
  const embeddings = p.at("embeddings");
  const { patchSize: kernel, width } = c;
  const patches = tokens(
    conv2d(embeddings.at("patch_embedding"), pixels, width, {
      kernel,
      stride: kernel,
      padding: 0,
      bias: false,
    }),
  );
  const classToken = reshape(embeddings.get("class_embedding", [width]), [1, 1, width]);
  const sequence = concat([expand(classToken, slice(patches, 1, 0, 1)), patches], 1);
  const positions = embeddings.get("position_embedding.weight", [sequence.shape[1]!, width]);
  // The name is misspelt in transformers.
  let h = layerNorm(p.at("pre_layrnorm"), add(sequence, positions), { eps: c.eps });
  for (let i = 0; i < c.layers; i++) h = clipLayer(p.at("encoder.layers", i), c, h);
  return layerNorm(p.at("post_layernorm"), reshape(slice(h, 1, 0, 1), [keep, width]), { eps: c.eps });
}

/** The embedding of an image, not normalised. pooled: [B, D] -> [B, projection] */
export const projectImage = (p: Params, c: ClipVisionConfig, pooled: Tensor): Tensor =>
  linear(p, pooled, c.projection, { bias: false });

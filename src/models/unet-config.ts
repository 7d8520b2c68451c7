/** @file Reads a U-Net's `config.json` (SD 1, SD 2, SDXL, SSD-1B, BK-SDXL, KOALA) into a list of stages. */

import * as z from "zod/mini";
import { ModelError } from "../errors.js";
import { ignored, only, parseConfig, positive, size, sizes } from "./config.js";

const depth = z.int("must be a whole number").check(z.nonnegative("must not be negative"), z.maximum(1000));
const depths = z.union(
  [depth, z.array(z.union([depth, z.array(depth)])).check(z.minLength(1))],
  "must be a number or (nested) list",
);

/** The fields of Diffusers' `UNet2DConditionModel` (0.35) with its defaults. */
const schema = z.object({
  /** One side of a square, or height and width. */
  sample_size: z.nullish(z.union([size, z.tuple([size, size])], "must be a number, or a height and a width")),
  in_channels: z._default(size, 4),
  out_channels: z._default(size, 4),
  center_input_sample: z._default(z.boolean(), false),
  flip_sin_to_cos: z._default(z.boolean(), true),
  freq_shift: z._default(z.number(), 0),
  down_block_types: z._default(
    z.array(
      z.enum(["DownBlock2D", "CrossAttnDownBlock2D"], 'must be "DownBlock2D" or "CrossAttnDownBlock2D"'),
    ),
    ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
  ),
  mid_block_type: z._default(
    z.nullable(
      z.enum(
        ["UNetMidBlock2DCrossAttn", "UNetMidBlock2D"],
        'must be "UNetMidBlock2DCrossAttn", "UNetMidBlock2D" or null',
      ),
    ),
    "UNetMidBlock2DCrossAttn",
  ),
  up_block_types: z._default(
    z.array(z.enum(["UpBlock2D", "CrossAttnUpBlock2D"], 'must be "UpBlock2D" or "CrossAttnUpBlock2D"')),
    ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
  ),
  only_cross_attention: only(false),
  block_out_channels: z._default(sizes, [320, 640, 1280, 1280]),
  layers_per_block: z._default(z.union([size, sizes]), 2),
  downsample_padding: only(1),
  mid_block_scale_factor: only(1),
  dropout: ignored,
  act_fn: only("silu", "swish"),
  norm_num_groups: z._default(size, 32),
  norm_eps: z._default(positive, 1e-5),
  cross_attention_dim: z._default(z.union([size, sizes]), 1280),
  transformer_layers_per_block: z._default(depths, 1),
  reverse_transformer_layers_per_block: z.nullish(depths),
  encoder_hid_dim: only(null),
  encoder_hid_dim_type: only(null),
  attention_head_dim: z._default(z.union([size, sizes]), 8),
  num_attention_heads: only(null),
  dual_cross_attention: only(false),
  use_linear_projection: z._default(z.boolean(), false),
  class_embed_type: only(null),
  addition_embed_type: only(null, "text_time"),
  addition_time_embed_dim: z.nullish(size),
  num_class_embeds: only(null),
  /** Casts attention to float32, in which everything is computed here. */
  upcast_attention: ignored,
  resnet_time_scale_shift: only("default"),
  resnet_skip_time_act: only(false),
  resnet_out_scale_factor: only(1),
  time_embedding_type: only("positional"),
  time_embedding_dim: z.nullish(size),
  time_embedding_act_fn: only(null),
  timestep_post_act: only(null),
  /** Of U-Nets that read the guidance scale, distilled as latent consistency models. */
  time_cond_proj_dim: z.nullish(size),
  conv_in_kernel: only(3),
  conv_out_kernel: only(3),
  projection_class_embeddings_input_dim: z.nullish(size),
  attention_type: only("default"),
  class_embeddings_concat: only(false),
  mid_block_only_cross_attention: only(null, false),
  cross_attention_norm: only(null),
  /** Read by addition_embed_type "text" only. */
  addition_embed_type_num_heads: ignored,
});

/** One resolution on the way down or up. */
export type Stage = {
  channels: number;
  /** Number of heads (Diffusers calls it `attention_head_dim`). */
  heads: number;
  textWidth: number;
  /** Transformer layers after each residual block; undefined for a stage without attention. */
  depths: readonly number[] | undefined;
  resnets: number;
};

export type UNetConfig = {
  inChannels: number;
  outChannels: number;
  /** Of the latents that the model was trained at. */
  sampleSize: { height: number; width: number } | undefined;
  centerInput: boolean;
  down: readonly Stage[];
  mid: Stage | undefined;
  up: readonly Stage[];
  timeWidth: number;
  /** Width of the embedding of the guidance scale that the network reads, in place of a second pass. */
  guidanceEmbedding: number | undefined;
  /** SDXL's added embedding: width of the sinusoid of each of the six time ids, and of the whole input. */
  added: { sinusoid: number; input: number } | undefined;
  norm: { groups: number; eps: number };
  /** Whether transformers project with a matrix (SD 2, XL) rather than a 1x1 convolution (SD 1). */
  linearProjection: boolean;
  time: { cosFirst: boolean; shift: number };
};

/** Width of the text embeddings that the cross-attentions read. */
export function textWidth({ down, mid, up }: UNetConfig): number {
  const stages = [...down, ...(mid ? [mid] : []), ...up];
  return (stages.find((stage) => stage.depths) ?? stages[0]!).textWidth;
}

/** Width of SDXL's pooled text embedding; undefined for a U-Net without it. */
export const pooledWidth = ({ added }: UNetConfig): number | undefined =>
  added && added.input - 6 * added.sinusoid;

/** Reads the parsed `config.json`; throws a ModelError that names the field. */
export function unetConfig(json: unknown, file = "unet/config.json"): UNetConfig {
  const c = parseConfig(schema, json, file);
  return {
    inChannels: c.in_channels,
    outChannels: c.out_channels,
    sampleSize: sampleSize(c),
    centerInput: c.center_input_sample,
    ...stages(c, file),
    guidanceEmbedding: c.time_cond_proj_dim ?? undefined,
    timeWidth: c.time_embedding_dim ?? 4 * c.block_out_channels[0]!,
    added: addedEmbedding(c, file),
    norm: { groups: c.norm_num_groups, eps: c.norm_eps },
    linearProjection: c.use_linear_projection,
    time: { cosFirst: c.flip_sin_to_cos, shift: c.freq_shift },
  };
}

type Fields = z.output<typeof schema>;

const refuse = (file: string, field: keyof Fields, problem: string): never => {
  throw new ModelError(file, `${field}: ${problem}`);
};

function sampleSize({ sample_size: given }: Fields): UNetConfig["sampleSize"] {
  if (given === null || given === undefined) return undefined;
  const [height, width] = typeof given === "number" ? [given, given] : given;
  return { height, width };
}

function addedEmbedding(c: Fields, file: string): UNetConfig["added"] {
  if (c.addition_embed_type !== "text_time") return undefined;
  const [sinusoid, input] = [c.addition_time_embed_dim, c.projection_class_embeddings_input_dim];
  if (sinusoid && input) return { sinusoid, input };
  const rule = '"text_time" needs addition_time_embed_dim and projection_class_embeddings_input_dim.';
  return refuse(file, "addition_embed_type", rule);
}

/** The stages on the way down, in the middle, and on the way up, which goes through the levels backwards. */
function stages(c: Fields, file: string): Pick<UNetConfig, "down" | "mid" | "up"> {
  const list = <T>(field: keyof Fields, value: T | readonly T[]) => perLevel(c, file, field, value);
  const [downTypes, upTypes] = [
    list("down_block_types", c.down_block_types),
    list("up_block_types", c.up_block_types),
  ];
  const heads = list("attention_head_dim", c.attention_head_dim);
  const widths = list("cross_attention_dim", c.cross_attention_dim);
  const layers = list("layers_per_block", c.layers_per_block);
  const depths = list("transformer_layers_per_block", c.transformer_layers_per_block);
  const upDepths = reversedDepths(c, file, depths);
  const last = c.block_out_channels.length - 1;
  const lowest = depths[last]!;
  const midDepth = typeof lowest === "number" ? lowest : lowest[0]!;
  const stage = (level: number, resnets: number, depth: Depth | undefined, field: DepthField): Stage => {
    const channels = c.block_out_channels[level]!;
    const shape = { channels, heads: heads[level]!, textWidth: widths[level]!, resnets };
    return checkedStage(c, file, { ...shape, level, depth, field });
  };
  return {
    down: downTypes.map((type, i) => {
      const depth = type === "CrossAttnDownBlock2D" ? depths[i]! : undefined;
      return stage(i, layers[i]!, depth, "transformer_layers_per_block");
    }),
    mid: midStage(c, (depth) => stage(last, 1, depth, "transformer_layers_per_block"), midDepth),
    up: upTypes.map((type, i) => {
      const depth = type === "CrossAttnUpBlock2D" ? upDepths[i]! : undefined;
      return stage(last - i, layers[last - i]! + 1, depth, "reverse_transformer_layers_per_block");
    }),
  };
}

/** "UNetMidBlock2D", of SSD-1B and Segmind-Vega, is one residual block without attention. */
function midStage(
  { mid_block_type: type }: Fields,
  stage: (depth: Depth | undefined) => Stage,
  depth: Depth,
): Stage | undefined {
  return type === null ? undefined : stage(type === "UNetMidBlock2D" ? undefined : depth);
}

/** The layers of every transformer of a stage, or of each. */
type Depth = number | readonly number[];
type DepthField = "transformer_layers_per_block" | "reverse_transformer_layers_per_block";

/** The value of each level of a field that may give one for all. */
function perLevel<T>(
  { block_out_channels: { length: levels } }: Fields,
  file: string,
  field: keyof Fields,
  value: T | readonly T[],
): readonly T[] {
  if (!Array.isArray(value)) return Array.from({ length: levels }, () => value as T);
  if (value.length !== levels)
    refuse(file, field, `must have ${levels} entries, as block_out_channels has, got ${value.length}.`);
  return value;
}

/** The depths on the way up: given, or those of the way down backwards. */
function reversedDepths(c: Fields, file: string, depths: readonly Depth[]): readonly Depth[] {
  const field = "reverse_transformer_layers_per_block";
  const given = c[field];
  if (given !== null && given !== undefined) return perLevel<Depth>(c, file, field, given);
  if (depths.some(Array.isArray))
    refuse(file, field, "must be given when transformer_layers_per_block is nested.");
  return depths.toReversed();
}

type StageFields = Omit<Stage, "depths"> & { level: number; depth: Depth | undefined; field: DepthField };

function checkedStage(
  { norm_num_groups: groups }: Fields,
  file: string,
  { level, depth, field, ...stage }: StageFields,
): Stage {
  const { channels, heads, resnets } = stage;
  const depths = typeof depth === "number" ? Array.from({ length: resnets }, () => depth) : depth;
  if (depths && depths.length !== resnets)
    refuse(file, field, `must give ${resnets} depths for stage ${level}, got ${depths.length}.`);
  if (depths && channels % heads !== 0)
    refuse(file, "attention_head_dim", `${heads} heads do not divide ${channels} channels.`);
  if (channels % groups !== 0)
    refuse(file, "norm_num_groups", `must divide ${channels} channels, got ${groups}.`);
  return { ...stage, depths };
}

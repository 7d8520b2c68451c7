/**
 * @file Configs of published models, as far as they differ from Diffusers' defaults, for counting and comparing them
 * without a download. How a model runs is decided by its own `config.json` alone.
 */

/** Stable Diffusion 2 (`stabilityai/stable-diffusion-2`, `unet/config.json`). */
const sd2 = {
  attention_head_dim: [5, 10, 20, 20],
  cross_attention_dim: 1024,
  sample_size: 96,
  use_linear_projection: true,
};

/** SDXL-Base 1.0, Turbo and Lightning. */
const sdxl = {
  addition_embed_type: "text_time",
  addition_time_embed_dim: 256,
  attention_head_dim: [5, 10, 20],
  block_out_channels: [320, 640, 1280],
  cross_attention_dim: 2048,
  down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
  layers_per_block: 2,
  projection_class_embeddings_input_dim: 2816,
  sample_size: 128,
  transformer_layers_per_block: [1, 2, 10],
  up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
  use_linear_projection: true,
};

/** KOALA's first step: the second of every pair of layers is removed (paper, section 3.1.1). */
const bkSdxl = { ...sdxl, layers_per_block: 1 };
/** With fewer transformer layers at the lowest resolution. */
const koala1b = { ...bkSdxl, transformer_layers_per_block: [0, 2, 6] };
/** With fewer still, and no middle block. */
const koala700m = { ...bkSdxl, transformer_layers_per_block: [0, 2, 5], mid_block_type: null };

/** The U-Nets of the paper's table, by their names there. */
export const knownUnets = {
  "SD 2": sd2,
  SDXL: sdxl,
  "BK-SDXL": bkSdxl,
  "KOALA-1B": koala1b,
  "KOALA-700M": koala700m,
} as const;

/** Other published U-Nets: those of which there are adapters. */
export const otherUnets = {
  "SD 1": { cross_attention_dim: 768 },
  // Both as in ComfyUI's `unet_config_from_diffusers_unet`.
  "SSD-1B": {
    ...sdxl,
    mid_block_type: "UNetMidBlock2D",
    transformer_layers_per_block: [1, 2, 4],
    reverse_transformer_layers_per_block: [[4, 4, 10], [2, 1, 1], 1],
  },
  "Segmind-Vega": {
    ...sdxl,
    mid_block_type: "UNetMidBlock2D",
    transformer_layers_per_block: [1, 1, 2],
  },
} as const;

const clip = { hidden_act: "gelu", projection_dim: 512 };

/** The text encoders: CLIP ViT-L/14, OpenCLIP ViT-bigG/14 and ViT-H/14 without its last layer. */
export const knownTextEncoders = {
  "CLIP ViT-L": {
    config: { hidden_act: "quick_gelu", hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 },
    projected: false,
  },
  "OpenCLIP ViT-bigG": {
    config: {
      ...clip,
      hidden_size: 1280,
      intermediate_size: 5120,
      num_attention_heads: 20,
      num_hidden_layers: 32,
      projection_dim: 1280,
    },
    projected: true,
  },
  "OpenCLIP ViT-H": {
    config: {
      ...clip,
      hidden_size: 1024,
      intermediate_size: 4096,
      num_attention_heads: 16,
      num_hidden_layers: 23,
    },
    projected: false,
  },
} as const;

/** The autoencoder of SD 2 and SDXL. */
export const knownVae = {
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array.from({ length: 4 }, () => "DownEncoderBlock2D"),
  up_block_types: Array.from({ length: 4 }, () => "UpDecoderBlock2D"),
  layers_per_block: 2,
};

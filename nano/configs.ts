/**
 * @file The shapes of the small model's networks: SDXL's arrangement of everything, in small. The students' U-Nets are
 * cut from the teacher's by `koala distill`.
 */

/** Tokens of a prompt, start and end included. */
const maxTokens = 24;
const [firstWidth, secondWidth, added] = [64, 96, 32];

export const modelIndex = {
  _class_name: "StableDiffusionXLPipeline",
  _diffusers_version: "0.35.2",
  force_zeros_for_empty_prompt: true,
  scheduler: ["diffusers", "EulerDiscreteScheduler"],
  text_encoder: ["transformers", "CLIPTextModel"],
  text_encoder_2: ["transformers", "CLIPTextModelWithProjection"],
  tokenizer: ["transformers", "CLIPTokenizer"],
  tokenizer_2: ["transformers", "CLIPTokenizer"],
  unet: ["diffusers", "UNet2DConditionModel"],
  vae: ["diffusers", "AutoencoderTiny"],
};

/** SDXL's layout: two layers a block, transformers at the two lower resolutions, most of them at the lowest. */
export const teacherUnet = {
  _class_name: "UNet2DConditionModel",
  _diffusers_version: "0.35.2",
  act_fn: "silu",
  addition_embed_type: "text_time",
  addition_time_embed_dim: added,
  attention_head_dim: [2, 3, 4],
  block_out_channels: [48, 96, 128],
  cross_attention_dim: firstWidth + secondWidth,
  down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
  downsample_padding: 1,
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 4,
  layers_per_block: 2,
  mid_block_type: "UNetMidBlock2DCrossAttn",
  norm_eps: 1e-5,
  norm_num_groups: 16,
  out_channels: 4,
  projection_class_embeddings_input_dim: 6 * added + secondWidth,
  sample_size: 16,
  transformer_layers_per_block: [1, 1, 3],
  up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
  use_linear_projection: true,
};

/**
 * v-prediction on a schedule that ends in pure noise, sampled from there (Lin et al. 2023, arXiv 2305.08891): flat
 * backgrounds, and white ones most of all, drift to grey otherwise.
 */
export const scheduler = {
  _class_name: "EulerDiscreteScheduler",
  _diffusers_version: "0.35.2",
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  interpolation_type: "linear",
  num_train_timesteps: 1000,
  prediction_type: "v_prediction",
  rescale_betas_zero_snr: true,
  steps_offset: 1,
  timestep_spacing: "trailing",
  trained_betas: null,
  use_karras_sigmas: false,
};

const text = (vocabulary: number) => ({
  attention_dropout: 0,
  bos_token_id: vocabulary - 2,
  eos_token_id: vocabulary - 1,
  pad_token_id: vocabulary - 1,
  layer_norm_eps: 1e-5,
  max_position_embeddings: maxTokens,
  model_type: "clip_text_model",
  num_hidden_layers: 3,
  torch_dtype: "float32",
  vocab_size: vocabulary,
});

export const textEncoder = (vocabulary: number) => ({
  ...text(vocabulary),
  architectures: ["CLIPTextModel"],
  hidden_act: "quick_gelu",
  hidden_size: firstWidth,
  intermediate_size: 4 * firstWidth,
  num_attention_heads: 2,
  projection_dim: firstWidth,
});

export const textEncoder2 = (vocabulary: number) => ({
  ...text(vocabulary),
  architectures: ["CLIPTextModelWithProjection"],
  hidden_act: "gelu",
  hidden_size: secondWidth,
  intermediate_size: 4 * secondWidth,
  num_attention_heads: 3,
  projection_dim: secondWidth,
});

const mark = (content: string) => ({
  __type: "AddedToken",
  content,
  lstrip: false,
  normalized: true,
  rstrip: false,
  single_word: false,
});

export const tokenizer = {
  add_prefix_space: false,
  bos_token: mark("<|startoftext|>"),
  clean_up_tokenization_spaces: true,
  do_lower_case: true,
  eos_token: mark("<|endoftext|>"),
  errors: "replace",
  model_max_length: maxTokens,
  pad_token: "<|endoftext|>",
  tokenizer_class: "CLIPTokenizer",
  unk_token: mark("<|endoftext|>"),
};

export const specialTokens = {
  bos_token: tokenizer.bos_token,
  eos_token: tokenizer.eos_token,
  pad_token: "<|endoftext|>",
  unk_token: tokenizer.unk_token,
};

/**
 * @file `AutoencoderKL` in one file with its original tensor names (CompVis' ldm, Stability's sgm): the names of these
 * tensors in Diffusers, and the config that can be inferred from their shapes. Independent of the network.
 */

/** Prefixes of the autoencoder's tensors, the first two in a file of a whole model. */
const prefixes = ["first_stage_model.", "vae.", ""];

/** Diffusers' names in the middle attention. */
const inAttention: Readonly<Record<string, string>> = {
  norm: "group_norm",
  q: "to_q",
  k: "to_k",
  v: "to_v",
  proj_out: "to_out.0",
};

/** Maps names of a file with these names to Diffusers'; undefined if it holds no `AutoencoderKL`. */
export function vaeNames(names: readonly string[]): ((name: string) => string | undefined) | undefined {
  const prefix = prefixes.find((start) => names.includes(`${start}decoder.conv_in.weight`));
  if (prefix === undefined) return undefined;
  const bare = names.map((name) => name.slice(prefix.length));
  const stages = new Set(bare.flatMap((name) => /^decoder\.up\.(\d+)\./.exec(name)?.[1] ?? [])).size;
  return (name) =>
    name.startsWith(prefix) && /^((en|de)coder|(post_)?quant_conv)\./.test(name.slice(prefix.length))
      ? diffusersName(name.slice(prefix.length), stages)
      : undefined;
}

/** Does not change a name of Diffusers'. The decoder's stages are counted from the image, Diffusers' from the latents. */
function diffusersName(name: string, stages: number): string {
  return name
    .replace(/^decoder\.up\.(\d+)\./, (_, i: string) => `decoder.up_blocks.${stages - 1 - Number(i)}.`)
    .replace(/^encoder\.down\.(\d+)\./, "encoder.down_blocks.$1.")
    .replace(/\.block\.(\d+)\./, ".resnets.$1.")
    .replace(/\.(up|down)sample\./, ".$1samplers.0.")
    .replace(/\.mid\.block_([12])\./, (_, i: string) => `.mid_block.resnets.${Number(i) - 1}.`)
    .replace(
      /\.mid\.attn_1\.(norm|q|k|v|proj_out)\./,
      (_, inner: string) => `.mid_block.attentions.0.${inAttention[inner]}.`,
    )
    .replace(".nin_shortcut.", ".conv_shortcut.")
    .replace(/^(encoder|decoder)\.norm_out\./, "$1.conv_norm_out.");
}

/** The original name of one of Diffusers' present names, for an autoencoder of `stages` stages. */
export function originalVaeName(name: string, stages: number): string {
  const inner = Object.entries(inAttention).map(([old, now]) => [now, old] as const);
  return name
    .replace(/^decoder\.up_blocks\.(\d+)\./, (_, i: string) => `decoder.up.${stages - 1 - Number(i)}.`)
    .replace(/^encoder\.down_blocks\.(\d+)\./, "encoder.down.$1.")
    .replace(/\.mid_block\.resnets\.([01])\./, (_, i: string) => `.mid.block_${Number(i) + 1}.`)
    .replace(
      /\.mid_block\.attentions\.0\.(.+)\.(weight|bias)$/,
      (_, now: string, end: string) => `.mid.attn_1.${inner.find(([known]) => known === now)?.[1]}.${end}`,
    )
    .replace(/\.resnets\.(\d+)\./, ".block.$1.")
    .replace(/\.(up|down)samplers\.0\./, ".$1sample.")
    .replace(".conv_shortcut.", ".nin_shortcut.")
    .replace(/^(encoder|decoder)\.conv_norm_out\./, "$1.norm_out.");
}

/** The shape that Diffusers gives a tensor: its attention's matrices were 1x1 convolutions. */
export function vaeShape(name: string, shape: readonly number[]): number[] {
  const isMatrix = /\.attentions\.\d+\.(to_[qkv]|to_out\.0)\.weight$/.test(name);
  return isMatrix && shape.length === 4 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : [...shape];
}

/**
 * The fields of `config.json` that follow from the shapes of these tensors, by Diffusers' names; undefined if tensors of
 * the decoder are missing. `scaling_factor` and `norm_num_groups` do not follow from shapes.
 */
export function inferredVaeConfig(
  tensors: ReadonlyMap<string, { shape: readonly number[] }>,
): Readonly<Record<string, unknown>> | undefined {
  const sizes = (name: string) => tensors.get(`${name}.weight`)?.shape;
  const countOf = (name: (i: number) => string) => {
    let n = 0;
    while (sizes(name(n))) n++;
    return n;
  };
  const stages = countOf((i) => `decoder.up_blocks.${i}.resnets.0.conv1`);
  const channels = Array.from(
    { length: stages },
    (_, i) => sizes(`decoder.up_blocks.${i}.resnets.0.conv1`)![0]!,
  );
  const layers = countOf((j) => `decoder.up_blocks.0.resnets.${j}.conv1`) - 1;
  const [latents, out] = [sizes("decoder.conv_in")?.[1], sizes("decoder.conv_out")?.[0]];
  if (latents === undefined || out === undefined || layers < 1) return undefined;
  return {
    in_channels: sizes("encoder.conv_in")?.[1] ?? out,
    out_channels: out,
    block_out_channels: channels.reverse(),
    down_block_types: channels.map(() => "DownEncoderBlock2D"),
    up_block_types: channels.map(() => "UpDecoderBlock2D"),
    layers_per_block: layers,
    latent_channels: latents,
    use_quant_conv: sizes("quant_conv") !== undefined,
    use_post_quant_conv: sizes("post_quant_conv") !== undefined,
    mid_block_add_attention: sizes("decoder.mid_block.attentions.0.to_q") !== undefined,
  };
}

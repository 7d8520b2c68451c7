/**
 * @file The config of a U-Net whose tensors have sgm's names, as single-file checkpoints have them: blocks are counted
 * from the names, widths are read from the shapes. Independent of weights.
 */

/** Shapes of a U-Net's tensors by sgm's names, without a prefix. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** What names and shapes show of a U-Net. */
export type UnetTopology = {
  inChannels: number;
  outChannels: number;
  /** The stages in the order of computing. */
  down: readonly TopologyStage[];
  up: readonly TopologyStage[];
  /** Transformer layers of the middle block; "resnet" for one residual block alone. */
  mid: number | "resnet" | undefined;
  /** Columns of the cross-attentions' keys: the width of the text embeddings. */
  textWidth: number;
  /** Columns of `label_emb.0.0`: pooled text and sizes. */
  addedWidth: number | undefined;
  /** Whether transformers project with a matrix rather than a 1x1 convolution. */
  linearProjection: boolean;
};

/** One resolution: its channels, and of each residual block the transformer layers behind it, if any. */
export type TopologyStage = { channels: number; depths: readonly (number | undefined)[] };

type Block = { channels: number; depth: number | undefined };

/** Reads the topology; undefined where tensors are missing without which it is unknown. */
export function unetTopology(shapes: Shapes): UnetTopology | undefined {
  const of = (name: string) => shapes.get(`${name}.weight`);
  const [first, last] = [of("input_blocks.0.0"), of("out.2")];
  const down = downStages(shapes);
  const up = upStages(shapes);
  const [keys, projection] = [named(shapes, ".attn2.to_k.weight"), named(shapes, ".proj_in.weight")];
  if (first?.length !== 4 || !last || !keys || !projection || down.length < 2 || up.length !== down.length)
    return undefined;
  const mid = shapes.has("middle_block.1.proj_in.weight") ? depthAt(shapes, "middle_block.1") : undefined;
  return {
    inChannels: first[1]!,
    outChannels: last[0]!,
    down,
    up,
    mid: mid ?? (shapes.has("middle_block.0.in_layers.2.weight") ? "resnet" : undefined),
    textWidth: keys[1]!,
    addedWidth: of("label_emb.0.0")?.[1],
    linearProjection: projection.length === 2,
  };
}

function named(shapes: Shapes, end: string): readonly number[] | undefined {
  for (const [name, shape] of shapes) if (name.endsWith(end)) return shape;
  return undefined;
}

/** The layers of the transformer at a path; undefined where there is none. */
function depthAt(shapes: Shapes, at: string): number | undefined {
  if (!shapes.has(`${at}.proj_in.weight`)) return undefined;
  let depth = 0;
  while (shapes.has(`${at}.transformer_blocks.${depth}.attn1.to_q.weight`)) depth++;
  return depth;
}

function blockAt(shapes: Shapes, at: string): Block | undefined {
  const kernel = shapes.get(`${at}.0.out_layers.3.weight`);
  return kernel && { channels: kernel[0]!, depth: depthAt(shapes, `${at}.1`) };
}

/** A stage ends with the downsampler, an input block of its own. */
function downStages(shapes: Shapes): TopologyStage[] {
  const stages: Block[][] = [[]];
  for (let i = 1; ; i++) {
    const block = blockAt(shapes, `input_blocks.${i}`);
    if (block) stages.at(-1)!.push(block);
    else if (shapes.has(`input_blocks.${i}.0.op.weight`)) stages.push([]);
    else return stages.flatMap(stageOf);
  }
}

/** A stage ends with the upsampler, behind the transformer of its last block or in its place. */
function upStages(shapes: Shapes): TopologyStage[] {
  const stages: Block[][] = [[]];
  for (let i = 0; ; i++) {
    const at = `output_blocks.${i}`;
    const block = blockAt(shapes, at);
    if (!block) return stages.flatMap(stageOf);
    stages.at(-1)!.push(block);
    if ([1, 2].some((j) => shapes.has(`${at}.${j}.conv.weight`))) stages.push([]);
  }
}

const stageOf = (blocks: readonly Block[]): TopologyStage[] =>
  blocks[0] ? [{ channels: blocks[0].channels, depths: blocks.map(({ depth }) => depth) }] : [];

/** Channels of a head in SDXL, Stable Diffusion 2 and what was made of them; Stable Diffusion 1 has 8 heads everywhere. */
const headChannels = 64;
const sd1Heads = 8;

/** Of each of SDXL's six size conditions, as published. */
const sinusoidWidth = 256;

/**
 * The fields of `config.json` by Diffusers' names. Heads, norm groups and the sinusoid's width do not show in shapes:
 * they are those of the published models. Undefined where the channels are not those of whole heads, as in small test
 * models, whose config has to be given.
 */
export function inferredUnetConfig(t: UnetTopology): Readonly<Record<string, unknown>> | undefined {
  const channels = t.down.map((stage) => stage.channels);
  if (channels.some((c) => c % (t.linearProjection ? headChannels : sd1Heads) !== 0)) return undefined;
  if (channels.some((c) => c % 32 !== 0)) return undefined;
  const hasAttention = ({ depths }: TopologyStage) => depths.some((depth) => depth !== undefined);
  return {
    in_channels: t.inChannels,
    out_channels: t.outChannels,
    block_out_channels: channels,
    layers_per_block: perStage(t.down.map(({ depths }) => depths.length)),
    down_block_types: t.down.map((s) => (hasAttention(s) ? "CrossAttnDownBlock2D" : "DownBlock2D")),
    up_block_types: t.up.map((s) => (hasAttention(s) ? "CrossAttnUpBlock2D" : "UpBlock2D")),
    mid_block_type: midTypes(t.mid),
    ...depthFields(t),
    attention_head_dim: t.linearProjection ? channels.map((c) => c / headChannels) : sd1Heads,
    cross_attention_dim: t.textWidth,
    use_linear_projection: t.linearProjection,
    norm_num_groups: 32,
    ...(t.addedWidth !== undefined && {
      addition_embed_type: "text_time",
      addition_time_embed_dim: sinusoidWidth,
      projection_class_embeddings_input_dim: t.addedWidth,
    }),
  };
}

const perStage = (counts: readonly number[]) => (new Set(counts).size === 1 ? counts[0] : counts);

const midTypes = (mid: UnetTopology["mid"]) =>
  mid === undefined ? null : mid === "resnet" ? "UNetMidBlock2D" : "UNetMidBlock2DCrossAttn";

/** Depths may differ inside a stage (SSD-1B); the way up is given on its own where it does not mirror the way down. */
function depthFields({ down, up, mid }: UnetTopology): Record<string, unknown> {
  const own = (stage: TopologyStage) => {
    const depths = stage.depths.map((depth) => depth ?? 0);
    return new Set(depths).size === 1 ? depths[0]! : depths;
  };
  const [downs, ups] = [down.map(own), up.map(own)];
  // A middle block has the depth of the last stage, also where that has no attention itself (SD 1 and 2).
  if (typeof mid === "number" && down.at(-1)!.depths.every((depth) => depth === undefined))
    downs[downs.length - 1] = mid;
  const mirrored = down.map((_, i) => ups[down.length - 1 - i]);
  const attends = (i: number) => down[i]!.depths.some((depth) => depth !== undefined);
  const isMirror = downs.every(
    (d, i) => typeof d === "number" && (attends(i) ? d === mirrored[i] : mirrored[i] === 0),
  );
  return {
    transformer_layers_per_block: downs,
    ...(!isMirror && { reverse_transformer_layers_per_block: ups }),
  };
}

/** @file The keys of LoRA files in each tool's names, and files that are refused. */
import { mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loraKey } from "./adapter-keys.js";
import { openLora } from "./lora.js";
import { serialize } from "./safetensors.js";

const root = realpathSync(mkdtempSync(join(tmpdir(), "lora-")));
afterAll(() => rmSync(root, { recursive: true }));

const zeros = (...shape: number[]) => ({
  dtype: "F32" as const,
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});
const one = (value: number) => ({ dtype: "F32" as const, shape: [], data: Float32Array.of(value) });
type Made = Record<string, ReturnType<typeof zeros>>;

/** A file of these tensors in a folder of its own. */
function made(tensors: Made, metadata: Record<string, string> = {}): string {
  const file = join(mkdtempSync(join(root, "file-")), "x.safetensors");
  writeFileSync(file, serialize(new Map(Object.entries(tensors)), metadata));
  return file;
}
const layer = (stem: string, rank = 4): Made => ({
  [`${stem}.lora_A.weight`]: zeros(rank, 8),
  [`${stem}.lora_B.weight`]: zeros(8, rank),
});

describe("a key", () => {
  const block = "down_blocks.1.attentions.0.transformer_blocks.0";
  const flat = "down_blocks_1_attentions_0_transformer_blocks_0";
  const clip = "text_model.encoder.layers.3";
  const flatClip = "text_model_encoder_layers_3";
  it.each([
    [`unet.${block}.attn1.to_q.lora_A.weight`, "unet", `${flat}_attn1_to_q`, "down"],
    [`unet.${block}.attn1.to_q.lora_B.default.weight`, "unet", `${flat}_attn1_to_q`, "up"],
    [`unet.${block}.attn2.to_out.0.lora.up.weight`, "unet", `${flat}_attn2_to_out_0`, "up"],
    [`unet.${block}.attn1.processor.to_out_lora.down.weight`, "unet", `${flat}_attn1_to_out_0`, "down"],
    [`${block}.attn1.processor.to_q_lora.down.weight`, "unet", `${flat}_attn1_to_q`, "down"],
    [`base_model.model.${block}.attn1.to_v.lora_A.weight`, "unet", `${flat}_attn1_to_v`, "down"],
    [`lora_unet_${flat}_attn1_to_k.lora_down.weight`, "unet", `${flat}_attn1_to_k`, "down"],
    [`lora_unet_${flat}_attn1_to_k.alpha`, "unet", `${flat}_attn1_to_k`, "alpha"],
    ["lora_unet_input_blocks_4_1_proj_in.lora_up.weight", "unet", "input_blocks_4_1_proj_in", "up"],
    [`lora_te_${flatClip}_mlp_fc1.lora_up.weight`, "text_encoder", `${flatClip}_mlp_fc1`, "up"],
    [`lora_te1_${flatClip}_mlp_fc2.alpha`, "text_encoder", `${flatClip}_mlp_fc2`, "alpha"],
    [`lora_te2_${flatClip}_mlp_fc2.alpha`, "text_encoder_2", `${flatClip}_mlp_fc2`, "alpha"],
    [
      `text_encoder.${clip}.self_attn.to_k_lora.up.weight`,
      "text_encoder",
      `${flatClip}_self_attn_k_proj`,
      "up",
    ],
    [
      `text_encoder_2.${clip}.self_attn.out_proj.lora_linear_layer.down.weight`,
      "text_encoder_2",
      `${flatClip}_self_attn_out_proj`,
      "down",
    ],
    [
      `text_encoder.${clip}.self_attn.to_out_lora.up.weight`,
      "text_encoder",
      `${flatClip}_self_attn_out_proj`,
      "up",
    ],
    ["lora_unet_a.hada_w1_a", "unet", "a", "hada_w1_a"],
    ["lora_unet_a.lokr_w2_b", "unet", "a", "lokr_w2_b"],
    ["lora_unet_a.lora_mid.weight", "unet", "a", "mid"],
    ["lora_unet_a.dora_scale", "unet", "a", "dora_scale"],
    ["unet.a.b.lora_magnitude_vector", "unet", "a_b", "magnitude"],
    ["unet.a.b.lora_magnitude_vector.default.weight", "unet", "a_b", "magnitude"],
    ["unet.a.lora_B.bias", "unet", "a", "lora_bias"],
    ["lora_unet_a.w_norm", "unet", "a", "diff"],
    ["lora_unet_a.b_norm", "unet", "a", "bias"],
  ])("%s", (key, part, path, role) => {
    expect(loraKey(key)).toEqual({ part, path, role });
  });

  it("of a plain weight has no meaning", () => {
    expect(loraKey("conv_in.weight")).toBeUndefined();
  });
});

describe("an embedding that OneTrainer bundled", () => {
  it("is named once, and the layers are read without it", async () => {
    const bundled = {
      "bundle_emb.sks.clip_l": zeros(2, 8),
      "bundle_emb.sks.clip_g": zeros(2, 8),
      "bundle_emb.blue.string_to_param.*": zeros(2, 8),
    };
    const { layers, embeddings, unknown } = await openLora(made({ ...layer("unet.a"), ...bundled }));
    expect(embeddings.toSorted()).toEqual(["blue", "sks"]);
    expect(layers.map((l) => l.path)).toEqual(["a"]);
    expect(unknown).toEqual([]);
    await expect(openLora(made(bundled))).rejects.toThrow("must hold LoRA layers");
  });
});

describe("the scale of a layer", () => {
  const scaleOf = async (file: string) =>
    Object.fromEntries((await openLora(file)).layers.map((l) => [`${l.part}.${l.path}`, l.scale]));

  it("is 1 where no alpha is given, else alpha / rank", async () => {
    const tensors = { ...layer("unet.a"), ...layer("unet.b"), "unet.b.alpha": one(1) };
    expect(await scaleOf(made(tensors))).toEqual({ "unet.a": 1, "unet.b": 0.25 });
  });

  it("follows the config that Diffusers puts into the header, network by network", async () => {
    const config = {
      "unet.lora_alpha": 8,
      "unet.alpha_pattern": { "mid.b": 2 },
      "text_encoder.lora_alpha": 6,
      "text_encoder.use_rslora": true,
    };
    const tensors = { ...layer("unet.a"), ...layer("unet.mid.b"), ...layer("text_encoder.c") };
    const file = made(
      { ...tensors, ...layer("text_encoder_2.d") },
      { lora_adapter_metadata: JSON.stringify(config) },
    );
    expect(await scaleOf(file)).toEqual({
      "unet.a": 2,
      "unet.mid_b": 0.5,
      "text_encoder.c": 3,
      "text_encoder_2.d": 1,
    });
  });

  it("of a file of PEFT's own follows adapter_config.json, and is 1 with a note without it", async () => {
    const file = made(layer("base_model.model.a"));
    expect(await scaleOf(file)).toEqual({ "unet.a": 1 });
    expect((await openLora(file)).notes).toEqual([
      expect.stringMatching(/no adapter_config\.json is beside it/),
    ]);
    writeFileSync(
      join(file, "../adapter_config.json"),
      JSON.stringify({ lora_alpha: 2, r: 4, use_dora: true }),
    );
    expect(await scaleOf(file)).toEqual({ "unet.a": 0.5 });
  });

  it("is 1 for an alpha of 0, and of LoKr with whole factors whatever alpha is", async () => {
    const lokr = { "lora_unet_b.lokr_w1": zeros(2, 2), "lora_unet_b.lokr_w2": zeros(4, 4) };
    const tensors = { ...layer("unet.a"), "unet.a.alpha": one(0), ...lokr, "lora_unet_b.alpha": one(3) };
    expect(await scaleOf(made(tensors))).toEqual({ "unet.a": 1, "unet.b": 1 });
  });
});

describe("a file is refused", () => {
  it.each([
    ["OFT or BOFT", "lora_unet_a.oft_blocks"],
    ["GLoRA", "lora_unet_a.b1.weight"],
    ["IA3", "unet.a.ia3_l"],
    ["LoRA of token embeddings", "text_encoder.a.lora_embedding_A"],
    ["LoCon with sparse biases", "lora_unet_a.bias_indices"],
  ])("that holds %s: %s", async (kind, key) => {
    const file = made({ ...layer("unet.a"), [key]: zeros(8) });
    await expect(openLora(file)).rejects.toThrow(`got 1 tensors of ${kind}: "${key}"`);
  });

  it.each([
    ["half of LoHa", { "lora_unet_a.hada_w1_a": zeros(8, 4) }, /must hold all tensors of each layer/],
    [
      "half of LoKr",
      { "lora_unet_a.lokr_w1": zeros(2, 2), "lora_unet_a.lokr_w2_a": zeros(4, 2) },
      /must hold all/,
    ],
    ["a magnitude alone", { "lora_unet_a.dora_scale": zeros(8, 1) }, /must hold all/],
    ["an alpha alone", { "lora_unet_a.alpha": one(2) }, /must hold all/],
    ["two kinds", { ...layer("unet.a"), "lora_unet_a.diff": zeros(8, 8) }, /must have one kind of change/],
    [
      "two biases",
      { ...layer("unet.a"), "unet.a.lora_B.bias": zeros(8), "unet.a.diff_b": zeros(8) },
      /must have one bias/,
    ],
  ])("that holds %s", async (_, tensors, message) => {
    await expect(openLora(made(tensors))).rejects.toThrow(message);
  });

  it("that lacks half a layer", async () => {
    const { "unet.a.lora_A.weight": down } = layer("unet.a");
    await expect(openLora(made({ "unet.a.lora_A.weight": down! }))).rejects.toThrow(
      'must hold down and up of each layer, got only "unet.a.lora_A.weight" of unet.a',
    );
  });

  it("that names a layer in two ways", async () => {
    const file = made({ ...layer("unet.a.b"), "lora_unet_a_b.lora_down.weight": zeros(4, 8) });
    await expect(openLora(file)).rejects.toThrow("must have each layer once");
  });

  it("that is not a LoRA, and one that is a pickle", async () => {
    await expect(openLora(made({ "conv_in.weight": zeros(4) }))).rejects.toThrow(
      'must hold LoRA layers (lora_down, lora_A), got "conv_in.weight"',
    );
    await expect(openLora("/any/pytorch_lora_weights.bin")).rejects.toThrow(/pickle/);
  });

  it("that is something else, or safetensors by another name, with what to do instead", async () => {
    const names: [string, RegExp][] = [
      ["clip_l", /It is a textual inversion. Give it as --embedding/],
      ["<moss>", /It is a textual inversion/],
    ];
    for (const [name, message] of names)
      await expect(openLora(made({ [name]: zeros(4) }))).rejects.toThrow(message);
    const model = {
      "first_stage_model.x": zeros(4),
      "model.diffusion_model.input_blocks.0.0.weight": zeros(4),
    };
    await expect(openLora(made(model))).rejects.toThrow(/It is a whole model. Give it as --model/);
    const renamed = join(root, "lora.ckpt");
    renameSync(made(layer("unet.x")), renamed);
    await expect(openLora(renamed)).rejects.toThrow(
      "must be called .safetensors, got safetensors by another",
    );
  });
});

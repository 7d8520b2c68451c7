/**
 * @file The names of tensors in adapter files: which network, layer and role each has, in the names of Diffusers (old and
 * new), PEFT, kohya and OneTrainer; and the kinds of adapter that are refused.
 */

import { listed, ModelError } from "../errors.js";
import type { AdapterRole } from "./adapter-kinds.js";

/** Which network a layer belongs to, as model_index.json names it. */
export type LoraNetwork = "unet" | "text_encoder" | "text_encoder_2";

/**
 * What a tensor is to its layer: part of its kind, or one of those that go with any kind. `dora_scale` is the trainers'
 * magnitude, `magnitude` PEFT's; `bias` a difference of biases, `lora_bias` PEFT's, which is scaled as the weight.
 */
export type Role = AdapterRole | "alpha" | "dora_scale" | "magnitude" | "bias" | "lora_bias";

/** Other kinds of adapter, by their keys. */
const others: readonly (readonly [RegExp, string])[] = [
  [/\.oft_|\.boft_|\.oft_R\b/, "OFT or BOFT"],
  [/\.(a[12]|b[12]|bm[12]?)\.weight$/, "GLoRA"],
  [/\.ia3_l\b|\.on_input$/, "IA3"],
  [/\.vera_lambda|\.hra_u\b|\.randlora_/, "VeRA, HRA or RandLoRA"],
  [/\.lora_embedding_[AB]\b/, "LoRA of token embeddings"],
  [/\.bias_(indices|values|size)$/, "LoCon with sparse biases"],
  [/\.(reshape_weight|set_weight)$/, "weights of another shape"],
];

/** ModelError if some tensors are of a kind that is not supported; its name is in the message. */
export function refuseOtherKinds(file: string, keys: readonly string[]): void {
  for (const [pattern, kind] of others) {
    const found = keys.filter((key) => pattern.test(key));
    if (found.length === 0) continue;
    const rule = "must be LoRA, LoCon, LoHa, LoKr, DoRA or full differences";
    const problem = `${rule}, got ${found.length} tensors of ${kind}: ${listed(found, 2)}`;
    throw new ModelError(file, `${problem}. Merge it into a model with the program that it was trained by.`, {
      unexpected: found,
    });
  }
}

/** A tensor's ending and its role; `role` in the pattern is the role itself. */
const forms: readonly (readonly [RegExp, Role | undefined])[] = [
  [/^(?<stem>.+?)\.lora_(?<role>down|up|mid)\.weight$/, undefined], // kohya
  [/^(?<stem>.+?)\.lora_A(?:\.\w+)?\.weight$/, "down"], // PEFT; the adapter's name may be left in
  [/^(?<stem>.+?)\.lora_B(?:\.\w+)?\.weight$/, "up"],
  [/^(?<stem>.+?)\.lora_B(?:\.\w+)?\.bias$/, "lora_bias"],
  [/^(?<stem>.+?)\.lora_up\.bias$/, "lora_bias"],
  [/^(?<stem>.+?)\.lora_magnitude_vector(?:\.\w+)*$/, "magnitude"],
  [/^(?<stem>.+?)(?:_lora|\.lora(?:_linear)?(?:_layer)?)\.(?<role>down|up)\.weight$/, undefined], // Diffusers before PEFT
  [/^(?<stem>.+?)(?:_lora|\.lora(?:_linear)?(?:_layer)?)?\.(?<role>alpha)$/, undefined],
  [/^(?<stem>.+?)\.(?<role>hada_w[12]_[ab]|hada_t[12])$/, undefined], // LyCORIS
  [/^(?<stem>.+?)\.(?<role>lokr_w[12](?:_[ab])?|lokr_t2)$/, undefined],
  [/^(?<stem>.+?)\.(?<role>dora_scale)$/, undefined],
  [/^(?<stem>.+?)\.(?:diff|w_norm)$/, "diff"],
  [/^(?<stem>.+?)\.(?:diff_b|b_norm)$/, "bias"],
];

const prefixes: readonly (readonly [string, LoraNetwork])[] = [
  ["lora_unet_", "unet"],
  ["lora_te1_", "text_encoder"],
  ["lora_te2_", "text_encoder_2"],
  ["lora_te_", "text_encoder"],
  ["text_encoder_2.", "text_encoder_2"],
  ["text_encoder.", "text_encoder"],
  ["unet.", "unet"],
  ["diffusion_model.", "unet"],
];

/** The prefix of PEFT's wrapper around a network. */
export const wrapper = "base_model.model.";

/** The network, layer and role of a key; undefined for a key of another meaning. */
export function loraKey(key: string): { part: LoraNetwork; path: string; role: Role } | undefined {
  for (const [form, given] of forms) {
    const groups = form.exec(key)?.groups as { stem: string; role?: Role } | undefined;
    if (!groups) continue;
    const { stem } = groups;
    const [prefix, part] = prefixes.find(([start]) => stem.startsWith(start)) ?? ["", "unet" as const];
    const bare = stem.slice(prefix.length);
    const path = (bare.startsWith(wrapper) ? bare.slice(wrapper.length) : bare)
      .replace(/\.processor(?=\.)/, "")
      .replace(/\b(attn[12])\.to_out$/, "$1.to_out.0")
      .replace(/\bself_attn\.to_(q|k|v|out)$/, "self_attn.$1_proj");
    return { part, path: path.replaceAll(".", "_"), role: given ?? groups.role! };
  }
  return undefined;
}

/** Whether a tensor of this name makes its file an adapter, of a kind that is supported or not. */
export const isAdapterKey = (key: string): boolean => {
  const role = loraKey(key)?.role;
  return (role !== undefined && role !== "alpha") || /^(lora|lycoris|oft)_/.test(key);
};

/** The token of an embedding that OneTrainer bundled: `bundle_emb.<token>.clip_l`, or with another such tensor. */
export const bundledToken = (key: string): string | undefined => /^bundle_emb\.([^.]+)\./.exec(key)?.[1];

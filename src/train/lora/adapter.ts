/**
 * @file LoRA as a transformation of a trace (Hu et al. 2021, arXiv 2106.09685): the targeted layers' results become
 * W x + alpha / rank B A x, with A and B beside weights that stay as they are. Networks know nothing of it.
 */

import { InvalidRequest } from "../../errors.js";
import * as t from "../../tensor/operations.js";
import { type Adapt, Params, tracing } from "../../tensor/params.js";
import { made, type Shape, type Tensor } from "../../tensor/tensor.js";
import { type LoraOptions, textEncoderTargets } from "./options.js";

/** PEFT's names of A and B, below a layer's path. */
export const [loraA, loraB] = ["lora_A.weight", "lora_B.weight"];

export const isLoraWeight = (path: string): boolean =>
  path.endsWith(`.${loraA}`) || path.endsWith(`.${loraB}`);

type Scaled = Pick<LoraOptions, "rank" | "alpha">;
/** What a layer that computes `y` adds to its result. */
type Rule<O extends AdaptedOp> = (layer: Params, y: Tensor<O>, lora: Scaled) => Tensor;
type AdaptedOp = "matmul" | "conv2d";

/** The operations with a weight that has a low rank product beside it. o, i: outputs and inputs, r: the rank. */
const rules: { readonly [O in AdaptedOp]: Rule<O> } = {
  /** x: [..., i], A: [r, i], B: [o, r] */
  matmul: (layer, { inputs: [x, w] }, { rank, alpha }) => {
    const [out, width] = w!.shape as [number, number];
    const [a, b] = [layer.get(loraA, [rank, width]), layer.get(loraB, [out, rank])];
    const low = t.matmul(x!, a, { transposeB: true });
    return t.matmul(scaled(low, alpha / rank), b, { transposeB: true });
  },
  /** x: [B, i, H, W], A: [r, i, k, k], B: [o, r, 1, 1] */
  conv2d: (layer, { inputs: [x, w], attrs }, { rank, alpha }) => {
    const [out, width, ...kernel] = w!.shape as [number, number, number, number];
    const [a, b] = [layer.get(loraA, [rank, width, ...kernel]), layer.get(loraB, [out, rank, 1, 1])];
    const low = t.conv2d(x!, a, undefined, attrs);
    return t.conv2d(scaled(low, alpha / rank), b, undefined, { stride: 1, padding: [0, 0, 0, 0] });
  },
};

const scaled = (x: Tensor, by: number) => (by === 1 ? x : t.mul(x, by));

/** Whether a layer is meant: its path is the target or ends in it, as PEFT reads targets. */
const isTarget = (path: string, { targets }: Pick<LoraOptions, "targets">): boolean => {
  const names: readonly string[] = path.startsWith("text_encoder") ? textEncoderTargets : targets;
  return names.some((name) => path === name || path.endsWith(`.${name}`));
};

/** Adds the product to the results of targeted layers; InvalidRequest for a target that is no linear layer or convolution. */
const adapter =
  (lora: LoraOptions): Adapt =>
  (layer, x) => {
    if (!isTarget(layer.path, lora)) return x;
    const y = made("add", x) ? x.inputs[0]! : x; // without the bias
    const own = y.inputs[1];
    const hasOwnWeight = own && made("param", own) && own.attrs.path === `${layer.path}.weight`;
    if (hasOwnWeight && made("matmul", y)) return t.add(x, rules.matmul(layer, y, lora));
    if (hasOwnWeight && made("conv2d", y)) return t.add(x, rules.conv2d(layer, y, lora));
    const rule = `must name linear layers and convolutions, got ${layer.path}`;
    throw new InvalidRequest("lora.targets", lora.targets, `${rule}. Name the layers inside it.`);
  };

/**
 * The weights of a network that is trained: all of them, or with `lora` a LoRA beside the network's own. `trained` receives
 * those that are, `frozen` the others.
 */
export function trainedParams(
  lora: LoraOptions | null,
  trained: Map<string, Tensor>,
  frozen = new Map<string, Tensor>(),
): Params {
  if (!lora) return new Params(tracing(trained));
  const [own, network] = [tracing(trained), tracing(frozen)];
  const source = (path: string, shape: Shape) => (isLoraWeight(path) ? own : network)(path, shape);
  return new Params(source, { adapt: adapter(lora) });
}

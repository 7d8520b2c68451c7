/** @file The U-Net traced with inputs of its own, which are named as in Diffusers. No weights, no numbers. */

import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import { made, type Tensor } from "../tensor/tensor.js";
import { type UnetInputs, unet } from "./unet.js";
import { pooledWidth, textWidth, type UNetConfig } from "./unet-config.js";

/** `height` and `width` in latent pixels (an eighth of the image's), `tokens` of text (77 per CLIP window). */
export type UnetSize = { batch: number; height: number; width: number; tokens: number };

/** New inputs for a U-Net. All four sizes may differ from run to run, unless they are `fixed`. */
export function unetInputs(c: UNetConfig, size: UnetSize, { fixed = false } = {}): UnetInputs {
  const sizeOf = (name: keyof UnetSize) => (fixed ? size[name] : { [name]: size[name] });
  const batch = sizeOf("batch");
  const pooled = pooledWidth(c);
  return {
    sample: input("sample", [batch, c.inChannels, sizeOf("height"), sizeOf("width")]),
    timestep: input("timestep", [batch]),
    ...(c.guidanceEmbedding !== undefined && {
      timestepCond: input("timestep_cond", [batch, c.guidanceEmbedding]),
    }),
    encoderHiddenStates: input("encoder_hidden_states", [batch, sizeOf("tokens"), textWidth(c)]),
    ...(pooled !== undefined && {
      addedCondKwargs: {
        textEmbeds: input("text_embeds", [batch, pooled]),
        timeIds: input("time_ids", [batch, 6]),
      },
    }),
  };
}

/** What `unetInputs` made, by the names under which a program takes them. */
export function inputsByName({ addedCondKwargs, ...inputs }: UnetInputs): Map<string, Tensor> {
  const all: Tensor[] = Object.values({ ...inputs, ...addedCondKwargs });
  return new Map(all.flatMap((x) => (made("input", x) ? [[x.attrs.name, x] as const] : [])));
}

/** One forward pass of the U-Net: the prediction. */
export function traceUnet(p: Params, c: UNetConfig, size: Partial<UnetSize> = {}): Tensor {
  return unet(p, c, unetInputs(c, { batch: 1, height: 64, width: 64, tokens: 77, ...size }));
}

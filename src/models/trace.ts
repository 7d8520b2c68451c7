/** @file A network traced with inputs of its own: enough to count it, or to lower it. No weights, no numbers. */

import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { unet } from "./unet.js";
import type { UNetConfig } from "./unet-config.js";

/** `height` and `width` in latent pixels (an eighth of the image's), `tokens` of text (77 per CLIP window). */
export type UnetSize = { batch?: number; height?: number; width?: number; tokens?: number };

/**
 * Traces one forward pass of the U-Net. Its inputs are named as Diffusers names them; batch, latent height and width,
 * and text tokens are left open.
 */
export function traceUnet(
  p: Params,
  c: UNetConfig,
  { batch = 1, height = 64, width = 64, tokens = 77 }: UnetSize = {},
): Tensor {
  const attending = [...c.down, ...(c.mid ? [c.mid] : []), ...c.up].find((stage) => stage.depths);
  const textWidth = (attending ?? c.down[0]!).textWidth;
  const sample = input("sample", [{ batch }, c.inChannels, { height }, { width }]);
  const timestep = input("timestep", [{ batch }]);
  const text = input("encoder_hidden_states", [{ batch }, { tokens }, textWidth]);
  const added = c.added && {
    textEmbeds: input("text_embeds", [{ batch }, c.added.input - 6 * c.added.sinusoid]),
    timeIds: input("time_ids", [{ batch }, 6]),
  };
  return unet(p, c, sample, timestep, text, added);
}

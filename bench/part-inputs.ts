/** @file Inputs of one part of a model, as numbers that are made up: as its pipeline gives them, by `load-part.ts`'s names. */

import { floats, longs, type Values } from "../src/engine/engine.js";
import { pooledWidth, textWidth } from "../src/models/unet-config.js";
import type { Components } from "../src/pipeline/components.js";
import { textEncoderNamed } from "./load-part.js";

/** As far from zero as normal numbers are. */
function spread(...shape: number[]): Values {
  const length = shape.reduce((a, b) => a * b);
  return floats(
    Float32Array.from({ length }, (_, i) => Math.sqrt(2) * Math.sin(i * i)),
    ...shape,
  );
}

/** Of images of `pixels` squared; `rows` at once of the U-Net and of a text encoder, one of the autoencoder. */
export function partInputs(
  components: Components,
  name: string,
  { pixels, rows = 1 }: { pixels: number; rows?: number },
): Record<string, Values> {
  const { unet, vae } = components;
  const side = pixels / vae.factor;
  if (name === "vae") return { latents: spread(1, vae.latentChannels, side, side) };
  if (name === "vae encoder") return { image: spread(1, 3, pixels, pixels) };
  if (name !== "unet") {
    const { maxTokens } = textEncoderNamed(components, name).config;
    const ids = Array.from({ length: rows * maxTokens }, (_, i) => i);
    return { ids: longs(ids, rows, maxTokens) };
  }
  const pooled = pooledWidth(unet.config);
  return {
    sample: spread(rows, unet.config.inChannels, side, side),
    timestep: floats(new Float32Array(rows).fill(500), rows),
    encoder_hidden_states: spread(rows, 77, textWidth(unet.config)),
    ...(pooled !== undefined && { text_embeds: spread(rows, pooled), time_ids: spread(rows, 6) }),
  };
}

/** @file A small picture straight from latents, one pixel each, without the decoder. Browser-safe. */
import { ShapeError } from "../errors.js";
import { type Picture, requireFinite, toPicture } from "./pixels.js";

export type LatentKind = "sdxl" | "sd";

/**
 * Linear fits of RGB in -1..1 to scaled latents, a row per channel: InvokeAI (Apache-2.0),
 * invokeai/app/util/step_callback.py; SDXL by StAlKeR7779, SD 1 and 2 (one latent space) by torridgristle.
 */
const factors: Readonly<Record<LatentKind, readonly (readonly [number, number, number])[]>> = {
  sdxl: [
    [0.3816, 0.493, 0.532],
    [-0.3753, 0.1631, 0.1739],
    [0.177, 0.3588, -0.2048],
    [-0.435, -0.2644, -0.4289],
  ],
  sd: [
    [0.3444, 0.1385, 0.067],
    [0.1247, 0.4027, 0.1494],
    [-0.3192, 0.2513, 0.2103],
    [-0.1307, -0.1874, -0.7445],
  ],
};

/** One image's latents [4, h, w], as the U-Net sees them at the end (scaled) -> picture of w x h pixels. */
export function previewLatents(
  latents: Float32Array,
  { h, w, kind }: { h: number; w: number; kind: LatentKind },
): Picture {
  const pixels = h * w;
  if (latents.length !== 4 * pixels) {
    throw new ShapeError("preview", `must be [4, ${h}, ${w}], got ${latents.length} values`);
  }
  requireFinite(latents, "preview");
  const image = new Float32Array(3 * pixels);
  for (const [channel, row] of factors[kind].entries()) {
    for (const [colour, factor] of row.entries()) {
      for (let i = 0; i < pixels; i++) image[colour * pixels + i]! += factor * latents[channel * pixels + i]!;
    }
  }
  return toPicture(image, w, h);
}

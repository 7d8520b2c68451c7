/** @file Drawings become pixels: 128 px squares with an alpha channel, laid on a background when they are used. */

import sharp from "sharp";
import type { Drawing } from "./emoji.js";

export const size = 128;
/** Free pixels on each side of the longer axis. */
const margin = 4;

/** RGBA bytes: size x size x 4. */
export async function render(drawing: Drawing): Promise<Uint8Array> {
  const inner = size - 2 * margin;
  const source =
    "file" in drawing
      ? sharp(drawing.file)
      : sharp(Buffer.from(drawing.svg), { density: density(drawing.svg) });
  const transparent = { r: 0, g: 0, b: 0, alpha: 0 };
  return source
    .ensureAlpha()
    .resize(inner, inner, { fit: "contain", background: transparent })
    .extend({ top: margin, bottom: margin, left: margin, right: margin, background: transparent })
    .raw()
    .toBuffer();
}

/** Dots per inch at which an SVG is drawn at twice its final size. */
function density(svg: string): number {
  const width = Number(/width="([\d.]+)"/.exec(svg)?.[1] ?? 16);
  return Math.min(2400, Math.max(72, (72 * 2 * size) / width));
}

/** RGB bytes of a rendering laid on a colour. */
export function laidOn(rgba: Uint8Array, [r, g, b]: readonly [number, number, number]): Uint8Array {
  const out = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0; i < rgba.length / 4; i++) {
    const a = rgba[4 * i + 3]! / 255;
    for (const [c, ground] of [r, g, b].entries())
      out[3 * i + c] = Math.round(rgba[4 * i + c]! * a + ground * (1 - a));
  }
  return out;
}

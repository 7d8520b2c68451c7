/**
 * @file What the judge is shown: real renderings on coloured backgrounds, moved, scaled, blurred and made noisy at
 * random. It is never shown a generated picture.
 */

import sharp from "sharp";
import { below, seeded } from "../../src/train/data/seeded.js";
import { type Background, backgrounds } from "../data/captions.js";
import { type Data, drawingOf } from "../data/dataset.js";
import { styles } from "../data/emoji.js";
import { pairOf } from "../data/nouns.js";
import { render, size } from "../data/render.js";
import { type Classes, judgedSize as side } from "./network.js";

export const backgroundNames = Object.keys(backgrounds) as Background[];

/** RGBA of a drawing in 0..1, the colours multiplied by alpha: 4 x side x side. */
export type Rendering = { noun: number; style: number; held: boolean; pixels: Float32Array };

export const classesOf = ({ nouns }: Data): Classes => ({
  noun: nouns.length,
  style: styles.length,
  background: backgroundNames.length,
});

export async function renderAll(data: Data): Promise<Rendering[]> {
  const all: Rendering[] = [];
  for (const [noun, { name }] of data.nouns.entries())
    for (const [style, styleName] of styles.entries()) {
      const rgba = await render(drawingOf(data, data.nouns[noun]!, styleName));
      const small = sharp(rgba, { raw: { width: size, height: size, channels: 4 } }).resize(side, side, {
        kernel: "cubic",
      });
      const pixels = premultiplied(await small.raw().toBuffer());
      all.push({ noun, style, held: data.held.has(pairOf(name, styleName)), pixels });
    }
  return all;
}

function premultiplied(rgba: Uint8Array): Float32Array {
  const planes = new Float32Array(rgba.length);
  const area = side * side;
  for (let i = 0; i < area; i++) {
    const alpha = rgba[4 * i + 3]! / 255;
    for (let c = 0; c < 3; c++) planes[c * area + i] = (rgba[4 * i + c]! / 255) * alpha;
    planes[3 * area + i] = alpha;
  }
  return planes;
}

/** A drawing as it is, on a background: [3, side, side] in -1..1 */
export function plain({ pixels }: Rendering, background: Background): Float32Array {
  const area = side * side;
  const out = new Float32Array(3 * area);
  for (const [c, level] of backgrounds[background].entries())
    for (let i = 0; i < area; i++)
      out[c * area + i] = 2 * (pixels[c * area + i]! + (1 - pixels[3 * area + i]!) * (level / 255)) - 1;
  return out;
}

/** A picture that could have been the rendering's: [3, side, side] in -1..1, with the background it was given. */
export function augmented(
  rendering: Rendering,
  draw: () => number,
): { picture: Float32Array; background: number } {
  const background = draw() < 0.3 ? 0 : below(backgroundNames.length, draw);
  const moved = { ...rendering, pixels: shifted(rendering.pixels, draw) };
  let picture = plain(moved, backgroundNames[background]!);
  if (draw() < 0.6) picture = blurred(picture, draw() * 0.8);
  const [gain, lift, noise] = [0.9 + 0.2 * draw(), 0.16 * (draw() - 0.5), 0.12 * draw()];
  // Three uniform numbers are near enough to a normal one.
  for (let i = 0; i < picture.length; i++)
    picture[i] = picture[i]! * gain + lift + noise * (draw() + draw() + draw() - 1.5);
  return { picture, background };
}

/** Scaled by up to a tenth and moved by up to a sixteenth, bilinear; sometimes mirrored. */
function shifted(pixels: Float32Array, draw: () => number): Float32Array {
  const scale = 0.9 + 0.2 * draw();
  const [dx, dy] = [(draw() - 0.5) * (side / 8), (draw() - 0.5) * (side / 8)];
  const mirror = draw() < 0.25 ? -1 : 1;
  const centre = (side - 1) / 2;
  const out = new Float32Array(pixels.length);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const [sx, sy] = [centre + (mirror * (x - centre - dx)) / scale, centre + (y - centre - dy) / scale];
      const [x0, y0] = [Math.floor(sx), Math.floor(sy)];
      if (x0 < 0 || y0 < 0 || x0 >= side - 1 || y0 >= side - 1) continue;
      const [fx, fy] = [sx - x0, sy - y0];
      for (let c = 0; c < 4; c++) {
        const at = (c * side + y0) * side + x0;
        const top = pixels[at]! * (1 - fx) + pixels[at + 1]! * fx;
        const bottom = pixels[at + side]! * (1 - fx) + pixels[at + side + 1]! * fx;
        out[(c * side + y) * side + x] = top * (1 - fy) + bottom * fy;
      }
    }
  return out;
}

/** Mixed by `share` with the mean of each pixel's four neighbours. */
function blurred(picture: Float32Array, share: number): Float32Array {
  const out = Float32Array.from(picture);
  for (let i = 0; i < picture.length; i++) {
    const [x, y] = [i % side, Math.floor(i / side) % side];
    if (x === 0 || y === 0 || x === side - 1 || y === side - 1) continue;
    const around = (picture[i - 1]! + picture[i + 1]! + picture[i - side]! + picture[i + side]!) / 4;
    out[i] = picture[i]! * (1 - share) + around * share;
  }
  return out;
}

/** Batch number `batch` of a run: which renderings, and the noise on them. */
export function sampleBatch(renderings: readonly Rendering[], size: number, batch: number) {
  const draw = seeded(0, "judge", batch);
  return Array.from({ length: size }, () => {
    const rendering = renderings[below(renderings.length, draw)]!;
    return { rendering, ...augmented(rendering, draw) };
  });
}

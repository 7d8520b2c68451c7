/**
 * @file The evaluator's training data: real renderings on coloured backgrounds, moved, scaled, blurred and made noisy at
 * random, and no generated image.
 */

import sharp from "sharp";
import { below, seeded, shuffled } from "../../src/train/data/seeded.js";
import { type Background, backgroundNames, backgrounds } from "../data/captions.js";
import { type Data, drawingOf } from "../data/dataset.js";
import { styles } from "../data/emoji.js";
import { pairOf } from "../data/nouns.js";
import { render, size } from "../data/render.js";
import { evaluatedSize as side } from "./network.js";

/** A drawing, and the numbers of the backgrounds that are held out from its training. */
export type Drawing = {
  noun: number;
  style: number;
  heldOut: readonly number[];
  /** RGBA in 0..1, the colours multiplied by alpha: 4 x side x side. */
  pixels: Float32Array;
};
const heldOutBackgrounds = 2;

/** The first word of every seed: what the evaluator in `models/nano` was trained with. */
const seedWord = "judge";

/** Every noun in every style: also the pairs that the generator is not taught. */
export async function renderAll(data: Data): Promise<Drawing[]> {
  const all: Drawing[] = [];
  for (const [noun, { name }] of data.nouns.entries())
    for (const [style, styleName] of styles.entries()) {
      const rgba = await render(drawingOf(data, data.nouns[noun]!, styleName));
      const small = sharp(rgba, { raw: { width: size, height: size, channels: 4 } }).resize(side, side, {
        kernel: "cubic",
      });
      const pixels = premultiplied(await small.raw().toBuffer());
      const draw = seeded(0, `${seedWord} keeps`, pairOf(name, styleName));
      const heldOut = shuffled([...backgroundNames.keys()], draw).slice(0, heldOutBackgrounds);
      all.push({ noun, style, heldOut, pixels });
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
function plain({ pixels }: Drawing, background: Background): Float32Array {
  const area = side * side;
  const out = new Float32Array(3 * area);
  for (const [c, level] of backgrounds[background].entries())
    for (let i = 0; i < area; i++)
      out[c * area + i] = 2 * (pixels[c * area + i]! + (1 - pixels[3 * area + i]!) * (level / 255)) - 1;
  return out;
}

/** An image that could have been the drawing's: [3, side, side] in -1..1 */
function augmented(drawing: Drawing, background: number, draw: () => number): Float32Array {
  const moved = { ...drawing, pixels: shifted(drawing.pixels, draw) };
  let image = plain(moved, backgroundNames[background]!);
  if (draw() < 0.6) image = blurred(image, draw() * 0.8);
  const [gain, lift, noise] = [0.9 + 0.2 * draw(), 0.16 * (draw() - 0.5), 0.12 * draw()];
  // Three uniform numbers are near enough to a normal one.
  for (let i = 0; i < image.length; i++)
    image[i] = image[i]! * gain + lift + noise * (draw() + draw() + draw() - 1.5);
  return image;
}

/** Scaled by up to a sixteenth and moved by up to a thirty-second, bilinear. */
function shifted(pixels: Float32Array, draw: () => number): Float32Array {
  const scale = 0.94 + 0.12 * draw();
  const [dx, dy] = [(draw() - 0.5) * (side / 16), (draw() - 0.5) * (side / 16)];
  const centre = (side - 1) / 2;
  const out = new Float32Array(pixels.length);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const [sx, sy] = [centre + (x - centre - dx) / scale, centre + (y - centre - dy) / scale];
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
function blurred(image: Float32Array, share: number): Float32Array {
  const out = Float32Array.from(image);
  for (let i = 0; i < image.length; i++) {
    const [x, y] = [i % side, Math.floor(i / side) % side];
    if (x === 0 || y === 0 || x === side - 1 || y === side - 1) continue;
    const around = (image[i - 1]! + image[i + 1]! + image[i - side]! + image[i + side]!) / 4;
    out[i] = image[i]! * (1 - share) + around * share;
  }
  return out;
}

export type Sample = { drawing: Drawing; background: number; image: Float32Array };

/** Batch number `batch` of a run. */
export function sampleBatch(drawings: readonly Drawing[], size: number, batch: number): Sample[] {
  const draw = seeded(0, seedWord, batch);
  return Array.from({ length: size }, () => {
    const drawing = drawings[below(drawings.length, draw)]!;
    const shown = [...backgroundNames.keys()].filter((i) => !drawing.heldOut.includes(i));
    const background = shown[below(shown.length, draw)]!;
    return { drawing, background, image: augmented(drawing, background, draw) };
  });
}

/** Held-out renderings: every drawing on its held-out backgrounds, as it is and augmented. */
export function heldOutSamples(drawings: readonly Drawing[]): Sample[] {
  const draw = seeded(0, `${seedWord} kept`);
  return drawings.flatMap((drawing) =>
    drawing.heldOut.flatMap((background) => [
      { drawing, background, image: plain(drawing, backgroundNames[background]!) },
      { drawing, background, image: augmented(drawing, background, draw) },
    ]),
  );
}

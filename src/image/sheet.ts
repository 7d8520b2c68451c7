/** @file Draws the sheet of a grid: images and labels in one PNG. */

import sharp from "sharp";
import { type SheetLayout, type SheetText, sheetColours } from "../grid/layout.js";

/** `cells` are image files in the order of the layout's cells; undefined where there is none yet. */
export async function drawSheet(
  { width, height, texts, cells: boxes }: SheetLayout,
  cells: readonly (Uint8Array | undefined)[],
): Promise<Uint8Array> {
  const images = await Promise.all(
    boxes.map(async ({ x, y, width: across, height: down }, i) => {
      const file = cells[i];
      const input = await (file ? sharp(file) : blank(across, down))
        .resize(across, down, { fit: "fill" })
        .png({ compressionLevel: 1 })
        .toBuffer();
      return { input, left: Math.round(x), top: Math.round(y) };
    }),
  );
  const labels = { input: Buffer.from(svg(width, height, texts)), left: 0, top: 0 };
  const sheet = sharp({ create: { width, height, channels: 3, background: sheetColours.ground } });
  return new Uint8Array(
    await sheet
      .composite([...images, labels])
      .png()
      .toBuffer(),
  );
}

const blank = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: sheetColours.empty } });

function svg(width: number, height: number, texts: readonly SheetText[]): string {
  const drawn = texts.map(({ text, x, y, size, bold, anchor }) => {
    const style = `font-size="${size}" font-weight="${bold ? 600 : 400}" text-anchor="${anchor}"`;
    const fill = bold ? sheetColours.ink : sheetColours.quiet;
    return `<text x="${x}" y="${y}" ${style} fill="${fill}">${escaped(text)}</text>`;
  });
  const size = `width="${width}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif">${drawn.join("")}</svg>`;
}

function escaped(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
  // XML allows no control characters and lone surrogates, escaped or not.
  return text.replace(/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/gu, " ").replace(/[&<>]/g, (c) => names[c]!);
}

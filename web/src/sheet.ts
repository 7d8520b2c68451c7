/** @file A grid as one labelled PNG, drawn on a canvas, with its settings in the metadata. */

import { type SheetContent, type SheetLayout, sheetColours, sheetLayout } from "../../src/grid/layout.js";
import { sheetContent, sheetFields } from "../../src/grid/sheet-content.js";
import { formatParameters } from "../../src/image/metadata/parameters.js";
import { withPngTexts } from "../../src/image/metadata/png-texts.js";
import { xmpPacket } from "../../src/image/metadata/xmp.js";
import type { SavedGrid } from "./database.js";
import type { Mean, Means } from "./grid-means.js";
import { imageData } from "./pixels.js";

/** With the means of its rows and columns, if they are given. */
export async function sheetOf({ axes, base, cells }: SavedGrid, means?: Means): Promise<Blob> {
  const bitmaps = await Promise.all(cells.map((cell) => cell && createImageBitmap(cell.file)));
  const first = bitmaps.find((bitmap) => bitmap !== null);
  const size = { width: first?.width ?? base.width ?? 512, height: first?.height ?? base.height ?? 512 };
  const content = sheetContent(base, axes, size);
  const whole = means ? await withMeans(content, bitmaps, means) : { content, bitmaps };
  const canvas = drawn(sheetLayout(whole.content), whole.bitmaps);
  const png = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
  const { prompt, negativePrompt } = base;
  const parameters = formatParameters({ prompt, negativePrompt, fields: sheetFields(base, axes) });
  const file = withPngTexts(png, { parameters, "XML:com.adobe.xmp": xmpPacket() });
  return new Blob([file as Uint8Array<ArrayBuffer>], { type: "image/png" });
}

type Bitmaps = readonly (ImageBitmap | null)[];

/** A column of the rows' means and a row of the columns', where there are any. */
async function withMeans(content: SheetContent, bitmaps: Bitmaps, { rows, columns, all }: Means) {
  const across = content.columns.length;
  const bitmap = async (mean: Mean | undefined) => (mean ? createImageBitmap(imageData(mean.image)) : null);
  const cells: (ImageBitmap | null)[] = [];
  for (let row = 0; row * across < bitmaps.length; row++) {
    cells.push(...bitmaps.slice(row * across, (row + 1) * across));
    if (rows.length > 0) cells.push(await bitmap(rows[row]));
  }
  if (columns.length > 0) cells.push(...(await Promise.all(columns.map(bitmap))));
  if (columns.length > 0 && rows.length > 0) cells.push(await bitmap(all));
  const mean = (some: readonly unknown[]) => (some.length > 0 ? ["mean"] : []);
  return {
    content: {
      ...content,
      columns: [...content.columns, ...mean(rows)],
      rows: [...content.rows, ...mean(columns)],
    },
    bitmaps: cells,
  };
}

function drawn({ width, height, texts, cells }: SheetLayout, bitmaps: Bitmaps) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d")!;
  context.fillStyle = sheetColours.ground;
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  for (const [i, cell] of cells.entries()) {
    const bitmap = bitmaps[i];
    context.fillStyle = sheetColours.empty;
    if (bitmap) context.drawImage(bitmap, cell.x, cell.y, cell.width, cell.height);
    else context.fillRect(cell.x, cell.y, cell.width, cell.height);
  }
  for (const { text, x, y, size, bold, anchor } of texts) {
    context.font = `${bold ? 600 : 400} ${size}px system-ui, sans-serif`;
    context.fillStyle = bold ? sheetColours.ink : sheetColours.quiet;
    context.textAlign = anchor === "middle" ? "center" : anchor;
    context.fillText(text, x, y);
  }
  return canvas;
}

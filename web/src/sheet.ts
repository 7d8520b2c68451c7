/** @file A grid as one labelled PNG, drawn on a canvas, with its settings in the metadata. */

import { type SheetLayout, sheetColours, sheetLayout } from "../../src/grid/layout.js";
import { sheetContent, sheetFields } from "../../src/grid/sheet-content.js";
import { formatParameters } from "../../src/image/metadata/parameters.js";
import { withPngTexts } from "../../src/image/metadata/png-texts.js";
import { xmpPacket } from "../../src/image/metadata/xmp.js";
import type { SavedGrid } from "./database.js";

export async function sheetOf({ axes, base, cells }: SavedGrid): Promise<Blob> {
  const bitmaps = await Promise.all(cells.map((cell) => cell && createImageBitmap(cell.file)));
  const first = bitmaps.find((bitmap) => bitmap !== null);
  const size = { width: first?.width ?? base.width ?? 512, height: first?.height ?? base.height ?? 512 };
  const layout = sheetLayout(sheetContent(base, axes, size));
  const canvas = drawn(layout, bitmaps);
  const png = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
  const { prompt, negativePrompt } = base;
  const parameters = formatParameters({ prompt, negativePrompt, fields: sheetFields(base, axes) });
  const file = withPngTexts(png, { parameters, "XML:com.adobe.xmp": xmpPacket() });
  return new Blob([file as Uint8Array<ArrayBuffer>], { type: "image/png" });
}

function drawn({ width, height, texts, cells }: SheetLayout, bitmaps: readonly (ImageBitmap | null)[]) {
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

/** @file A grid's sheet as an image. */

import sharp from "sharp";
import { expect, it } from "vitest";
import { sheetLayout } from "../grid/layout.js";
import { drawSheet } from "./sheet.js";

const red = sharp({ create: { width: 64, height: 48, channels: 3, background: "#ff0000" } })
  .png()
  .toBuffer();

it("has every cell in its place and words of any kind above them", async () => {
  const columns = ["<&>\u0000\ud800", "蓝色"];
  const layout = sheetLayout({
    columns,
    rows: [],
    cellWidth: 64,
    cellHeight: 48,
    title: "a & b",
    caption: "c",
  });
  const sheet = await drawSheet(layout, [await red, undefined]);
  const { data, info } = await sharp(sheet).raw().toBuffer({ resolveWithObject: true });
  expect([info.width, info.height]).toEqual([layout.width, layout.height]);
  const colourIn = ({ x, y, width, height }: (typeof layout.cells)[number]) => {
    const at = (Math.floor(y + height / 2) * info.width + Math.floor(x + width / 2)) * info.channels;
    return [...data.subarray(at, at + 3)];
  };
  expect(layout.cells.map(colourIn)).toEqual([
    [255, 0, 0],
    [236, 234, 228],
  ]);
  const label = layout.texts.find(({ text }) => text === "a & b")!;
  const above = await sharp(sheet)
    .extract({ left: Math.floor(label.x), top: Math.floor(label.y - 12), width: 40, height: 14 })
    .stats();
  expect(above.channels[0]!.min).toBeLessThan(100);
});

/** @file The contact sheets of an evaluation: a row for each prompt, a column for each seed, of two models beside each other. */

import path from "node:path";
import { readFile, writeWhole } from "../files/file-system.js";
import { sheetLayout } from "../grid/layout.js";
import { withPngTexts } from "../image/metadata/png-texts.js";
import { xmpPacket } from "../image/metadata/xmp.js";
import { drawSheet } from "../image/sheet.js";

/** A row: its label, and the files of its images. */
type SheetRow = { label: string; files: readonly string[] };

export type Sheets = {
  output: string;
  title: string;
  caption: string;
  columns: readonly string[];
  rows: readonly SheetRow[];
  width: number;
  height: number;
};

const rowsOfSheet = 12;

/** Writes sheets of twelve prompts each; their names in the folder. */
export async function saveSheets({ output, rows, columns, title, caption, width, height }: Sheets) {
  const names: string[] = [];
  for (let from = 0; from < rows.length; from += rowsOfSheet) {
    const some = rows.slice(from, from + rowsOfSheet);
    const layout = sheetLayout({
      columns,
      rows: some.map(({ label }) => label),
      cellWidth: width,
      cellHeight: height,
      title,
      caption,
    });
    const files = await Promise.all(
      some.flatMap((row) => row.files.map((file) => readFile(path.join(output, file)))),
    );
    const sheet = withPngTexts(await drawSheet(layout, files), { "XML:com.adobe.xmp": xmpPacket() });
    const number = String(from / rowsOfSheet + 1).padStart(2, "0");
    const name = rows.length > rowsOfSheet ? `sheet-${number}.png` : "sheet.png";
    await writeWhole(path.join(output, name), sheet);
    names.push(name);
  }
  return names;
}

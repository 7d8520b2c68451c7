/** @file Draws a small data set of captioned images, to try distillation on: `out/images`. */

import { mkdir, writeFile } from "node:fs/promises";
import sharp from "sharp";

const folder = process.argv[2] ?? "out/images";
await mkdir(folder, { recursive: true });

const colours = { red: "#d33", green: "#3a3", blue: "#33d", yellow: "#dc3" };
const shapes = {
  circle: (fill: string) => `<circle cx="32" cy="32" r="20" fill="${fill}"/>`,
  square: (fill: string) => `<rect x="12" y="12" width="40" height="40" fill="${fill}"/>`,
};
const rows: string[] = [];
for (const [colour, fill] of Object.entries(colours)) {
  for (const [shape, draw] of Object.entries(shapes)) {
    const file = `${colour}-${shape}.png`;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">${draw(fill)}</svg>`;
    await sharp(Buffer.from(svg)).flatten({ background: "#fff" }).png().toFile(`${folder}/${file}`);
    rows.push(JSON.stringify({ file_name: file, text: `a ${colour} ${shape}` }));
  }
}
await writeFile(`${folder}/metadata.jsonl`, `${rows.join("\n")}\n`);
console.log(`${rows.length} images in ${folder}`);

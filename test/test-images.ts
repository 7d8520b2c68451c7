/** @file A made-up folder of captioned images for tests: one shape each, drawn from SVG. */

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";

const colours = ["red", "green", "blue", "orange"] as const;
const shapes = {
  circle: '<circle cx="50" cy="50" r="35" ',
  square: '<rect x="18" y="18" width="64" height="64" ',
  triangle: '<polygon points="50,12 88,84 12,84" ',
};

/** The broken one's name: it has a caption, and bytes that are no image. */
export const brokenImage = "broken.png";

/** Draws `count` images of 96 pixels, every third one `tall` or wide, and a broken one besides. */
export async function makeTestImages(folder: string, count: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const rows: { file_name: string; text: string }[] = [{ file_name: brokenImage, text: "nothing" }];
  await writeFile(path.join(folder, brokenImage), "no image");
  for (let i = 0; i < count; i++) {
    const colour = colours[i % colours.length]!;
    const [name, svg] = Object.entries(shapes)[Math.floor(i / colours.length) % 3]!;
    const [width, height] = i % 3 === 2 ? [64, 128] : [96, 96];
    const image = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="${width}" height="${height}">
      <rect width="100" height="100" fill="white"/>${svg} fill="${colour}" opacity="${1 - i / (4 * count)}"/></svg>`;
    const file = `${String(i).padStart(3, "0")}.png`;
    await sharp(Buffer.from(image)).flatten({ background: "white" }).png().toFile(path.join(folder, file));
    rows.push({ file_name: file, text: `a ${colour} ${name}` });
  }
  await writeFile(path.join(folder, "metadata.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
}

/** @file A small image folder, and options to cache it, for tests. */

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { type Components, loadComponents } from "../src/pipeline/components.js";
import type { CacheOptions } from "../src/train/cache/build.js";
import { openData } from "../src/train/data/source.js";

export const goldenFolder = (name: string) => new URL(`../golden/data/${name}`, import.meta.url).pathname;

export const components = (name: string, vae?: string): Promise<Components> =>
  loadComponents(goldenFolder(`pipelines/${name}`), {
    engine: blockingEngine({ threads: 1 }),
    ...(vae && { vae }),
  });

/** Six images with four distinct captions, and a broken one. */
export async function makeImageFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const captions = ["a red boat", "a blue house", "a red boat", "two cats", "a blue house", "a long road"];
  const lines = ["broken", ...captions].map((text, i) => JSON.stringify({ file_name: `${i}.png`, text }));
  await writeFile(path.join(folder, "metadata.jsonl"), lines.join("\n"));
  await writeFile(path.join(folder, "0.png"), "no image");
  for (let i = 1; i <= captions.length; i++) {
    const [width, height] = i % 2 === 0 ? [80, 50] : [48, 72];
    const data = Uint8Array.from({ length: width! * height! * 3 }, (_, k) => (k * (7 + i)) % 256);
    const raw = { width: width!, height: height!, channels: 3 as const };
    await sharp(data, { raw })
      .png()
      .toFile(path.join(folder, `${i}.png`));
  }
}

/** Options for the images of `makeTestImages` in `data`, on two buckets. */
export async function cacheOptions(
  folder: string,
  data: string,
  of: Components,
  change: Partial<CacheOptions> = {},
): Promise<CacheOptions> {
  return {
    data: await openData(data),
    dataPath: data,
    components: of,
    folder,
    resolution: 32,
    buckets: [
      { height: 40, width: 24 },
      { height: 24, width: 40 },
    ],
    ...change,
  };
}

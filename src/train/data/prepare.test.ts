/** @file The whole pass over a folder: buckets, broken images, what is done already. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { aspectBuckets } from "./buckets.js";
import { type PreparedExample, type PrepareOptions, prepareExamples } from "./prepare.js";
import { seeded } from "./seeded.js";
import { openData } from "./source.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "koala-prepare-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function put(name: string, file: Buffer | string): Promise<void> {
  await writeFile(join(folder, name), file);
  await writeFile(join(folder, name.replace(/\.\w+$/, ".txt")), `caption of ${name}`);
}

function image(height: number, width: number): Promise<Buffer> {
  return sharp({ create: { height, width, channels: 3, background: "red" } })
    .jpeg()
    .toBuffer();
}

const random = (key: string) => seeded(0, "crop", 0, key);

async function prepare(options: Partial<PrepareOptions> = {}) {
  const source = await openData(folder);
  const { examples, skipped } = prepareExamples(source, aspectBuckets(128), { random, ...options });
  const found: PreparedExample[] = [];
  for await (const example of examples) found.push(example);
  return { found, skipped };
}

describe("prepareExamples", () => {
  it("puts each image into its bucket, with its caption and time ids", async () => {
    await put("square.jpg", await image(200, 200));
    await put("wide.jpg", await image(100, 380));
    const { found, skipped } = await prepare();
    expect(found.map(({ pixels, ...rest }) => ({ ...rest, elements: pixels.length }))).toEqual([
      {
        key: "square.jpg",
        caption: "caption of square.jpg",
        size: { height: 128, width: 128 },
        timeIds: [200, 200, 0, 0, 128, 128],
        elements: 3 * 128 * 128,
      },
      {
        key: "wide.jpg",
        caption: "caption of wide.jpg",
        size: { height: 64, width: 256 },
        // Covering 64x256 with 100x380: 256 wide is 67 high, (67 - 64) / 2 = 1.5 goes to 2.
        timeIds: [100, 380, 2, 0, 64, 256],
        elements: 3 * 64 * 256,
      },
    ]);
    expect(skipped).toEqual([]);
  });

  it("broken, cut off and hopelessly thin images are skipped and named", async () => {
    const good = await image(150, 150);
    await put("broken.png", "no image");
    await put("cut.jpg", good.subarray(0, good.length / 2));
    await put("good.jpg", good);
    await put(
      "thin.png",
      await sharp({ create: { height: 1, width: 20_000, channels: 3, background: "red" } })
        .png()
        .toBuffer(),
    );
    const { found, skipped } = await prepare();
    expect(found.map(({ key }) => key)).toEqual(["good.jpg"]);
    expect(skipped).toEqual([
      {
        key: "broken.png",
        reason: expect.stringMatching(/^must be an image that can be read .*unsupported image format/),
      },
      { key: "cut.jpg", reason: expect.stringMatching(/^must be an image that can be read /) },
      { key: "thin.png", reason: "20000x1 pixels are too narrow: a crop keeps less than 1/64" },
    ]);
  });

  it("data of which nothing is usable is an error that names the first", async () => {
    await put("a.jpg", "broken");
    await put("b.jpg", "broken");
    await expect(prepare()).rejects.toThrow(
      /got none \(2 skipped; first, "a.jpg" must be an image that can be read .*Check the path/,
    );
  });

  it("what is done already is not decoded again", async () => {
    await put("a.jpg", "broken, if it were decoded");
    const isDone = (key: string, bytes: Uint8Array) =>
      key === "a.jpg" && Buffer.from(bytes).toString() === "broken, if it were decoded";
    const { found, skipped } = await prepare({ isDone });
    expect([found, skipped]).toEqual([[], []]);
  });

  it("random crops and mirrors of an example do not depend on the others", async () => {
    for (const name of ["a", "b", "c"]) {
      const noise = Buffer.from(
        Float64Array.from({ length: 3 * 200 }, (_, i) => Math.sin(i) + name.charCodeAt(0)).buffer,
      );
      await put(
        `${name}.png`,
        await sharp(noise, { raw: { height: 20, width: 80, channels: 3 } })
          .png()
          .toBuffer(),
      );
    }
    const options = { crop: "random", flip: true } as const;
    const { found } = await prepare(options);
    const alone = await prepare({ ...options, isDone: (key) => key !== "b.png" });
    expect(alone.found).toEqual([found[1]]);
  });
});

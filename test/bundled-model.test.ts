/** @file The bundled model through the built command: it generates the words of its vocabulary and warns of others. */

import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";

const models = ["models/nano", "models/nano-lightning"];
const few = "koala-nano-lightning";
const main = path.resolve("dist/cli/main.js");
const folder = await mkdtemp(path.join(tmpdir(), "koala-shipped-"));
afterAll(() => rm(folder, { recursive: true }));

/** Means of red, green and blue in a square of the image, 0 to 255. */
async function colourAt(file: string, left: number, top: number, side: number) {
  // Cut first: sharp's statistics are those of its input, whatever is done with it.
  const square = sharp(path.join(folder, file)).extract({ left, top, width: side, height: side });
  return (await sharp(await square.png().toBuffer()).stats()).channels.map(({ mean }) => mean) as [
    number,
    number,
    number,
  ];
}

const koala = (...args: string[]) =>
  promisify(execFile)(process.execPath, [main, "generate", ...args], { cwd: folder });

describe("the bundled model", () => {
  it("generates a red apple on white, and a sunflower on blue where the prompt says so", async () => {
    await koala("a red apple, flat icon", "--seed", "7", "--output", "apple.png");
    const { width, height } = await sharp(path.join(folder, "apple.png")).metadata();
    expect([width, height]).toEqual([128, 128]);
    expect(Math.min(...(await colourAt("apple.png", 0, 0, 12)))).toBeGreaterThan(225);
    const [red, green, blue] = await colourAt("apple.png", 48, 56, 32);
    expect(red).toBeGreaterThan(Math.max(green, blue) + 60);

    await koala("a sunflower, flat icon, on a blue background", "--seed", "7", "--output", "flower.png");
    const corner = await colourAt("flower.png", 0, 0, 10);
    expect(corner[2]).toBeGreaterThan(corner[0] + 60);
  });

  it("has an edition for four steps by name, which generates its words without guidance", async () => {
    const { stderr } = await koala("a red apple, flat icon", "--seed", "7", "-m", few, "-o", "four.png");
    expect(stderr).toContain("4 steps");
    const [red, green, blue] = await colourAt("four.png", 48, 56, 32);
    expect(red).toBeGreaterThan(Math.max(green, blue) + 60);
  });

  it("names a word it does not know and the nearest that it knows, and still generates", async () => {
    const { stderr } = await koala("a red aple, flat icon", "--seed", "1", "--output", "aple.png");
    expect(stderr).toMatch(/"aple" is not a word this model knows\. Near it:.*apple/);
    expect((await stat(path.join(folder, "aple.png"))).size).toBeGreaterThan(0);
  });

  it("fits into the package in both editions, with their cards and notices", async () => {
    const sizes: number[] = [];
    for (const model of models) {
      for (const file of await readdir(model, { recursive: true, withFileTypes: true }))
        if (file.isFile()) sizes.push((await stat(path.join(file.parentPath, file.name))).size);
      expect(await readFile(path.join(model, "NOTICE"), "utf8")).toContain("CC BY 4.0");
      expect(await readFile(path.join(model, "README.md"), "utf8")).toContain("pipeline_tag: text-to-image");
    }
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(32e6);
  });
});

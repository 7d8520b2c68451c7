/** @file `koala evaluate` through the built command: its figures from the images that it wrote, and that it goes on. */

import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import type { Report } from "../src/cli/evaluation-report.js";

const folder = await mkdtemp(path.join(tmpdir(), "koala-evaluation-"));
afterAll(() => rm(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

const koala = (...args: string[]) =>
  promisify(execFile)(process.execPath, [path.resolve("dist/cli/main.js"), "evaluate", ...args]);
const refused = (...args: string[]) =>
  koala(...args).then(
    () => "",
    ({ stderr }: { stderr: string }) => stderr,
  );
const report = async (name: string) =>
  JSON.parse(await readFile(path.join(at(name), "report.json"), "utf8")) as Report;

await writeFile(
  at("prompts.tsv"),
  "Prompt\tCategory\na red apple, flat icon\tfood\na panda, flat fluent icon\tanimal\na koala, line art\tanimal\n",
);
const [steps, clip] = [
  ["--steps", "4", "--reference-steps", "2", "--seeds", "2"],
  ["--clip", "golden/data/clip/gelu-tiny"],
];

describe("an evaluation against the same model with fewer steps", () => {
  it("has the figures of its images, a table of categories, and sheets; again it generates none", async () => {
    const command = ["models/nano", "-r", "models/nano", "-p", at("prompts.tsv"), ...steps, ...clip];
    const { stdout } = await koala(...command, "-o", at("out"));
    expect(stdout.trim()).toBe(path.join(at("out"), "report.md"));
    const first = await report("out");
    expect(first.model.label).toBe("nano, 4 steps");
    expect(first.categories.map(({ category, prompts }) => [category, prompts])).toEqual([
      ["food", 1],
      ["animal", 2],
    ]);
    // The mean of each prompt's mean, from the pixels of the files.
    const pixels = (file: string) =>
      sharp(path.join(at("out"), file))
        .removeAlpha()
        .raw()
        .toBuffer();
    let total = 0;
    for (const { files, reference } of first.images)
      for (const [i, file] of files.entries()) {
        const [a, b] = [await pixels(file), await pixels(reference![i]!)];
        const error = a.reduce((sum, x, k) => sum + (x - b[k]!) ** 2, 0) / a.length;
        total += (10 * Math.log10(255 ** 2 / error)) / 6;
      }
    const figure = (id: string) => first.figures.find(({ measure }) => measure === id)!;
    expect(figure("psnr").model.mean).toBeCloseTo(total, 6);
    // The published student names these three (docs/nano.md); of three prompts a Wilson interval begins at 43.9 %.
    expect(figure("label:noun").model.mean).toBe(100);
    expect(figure("label:noun").model.interval![0]).toBeCloseTo(43.85, 1);
    expect(Math.abs(figure("clipScore").model.mean)).toBeLessThanOrEqual(100);
    expect(first.frechetDistances[0]).toMatchObject({
      reason: expect.stringMatching(/needs more than 20 images on either side.*, got 6 and 6/),
    });
    const text = await readFile(path.join(at("out"), "report.md"), "utf8");
    expect(text).toContain("Fréchet distance of CLIP features");
    expect(text).not.toMatch(/(?<!not the )FID/);
    const { width, height } = await sharp(path.join(at("out"), "sheet.png")).metadata();
    expect(Math.min(width, height)).toBeGreaterThan(3 * 128);

    const images = await readdir(path.join(at("out"), "images"));
    expect(images).toHaveLength(12);
    const written = await stat(path.join(at("out"), "images", images[0]!));
    const { stderr } = await koala(...command, "-o", at("out"));
    expect(stderr).toContain("6 are there");
    expect(await report("out")).toEqual(first);
    expect((await stat(path.join(at("out"), "images", images[0]!))).mtimeMs).toBe(written.mtimeMs);
  }, 240_000);
});

describe("its help", () => {
  it("fits on a screen and has an example", async () => {
    const { stdout } = await koala("--help");
    expect(stdout).toContain("--seed <n>");
    expect(stdout).toContain("koala evaluate ./koala-lightning-700m");
    expect(stdout.split("\n").length).toBeLessThan(65);
  }, 240_000);
});

describe("an evaluation is refused, before anything is generated,", () => {
  it("without prompts where a model lists no words, and with images to compare with but no CLIP model", async () => {
    const tiny = "golden/data/pipelines/koala-1b-tiny";
    const [none, clipless] = await Promise.all([
      refused(tiny, "-o", at("none")),
      refused("--images", folder, "-o", at("none")),
    ]);
    expect(none).toContain("koala-1b-tiny lists no words of its own. Add it, or --prompt-set complex.");
    expect(clipless).toContain("--images: is compared by CLIP features, got no --clip. Add it.");
    expect(await readdir(folder)).not.toContain("none");
  }, 240_000);
});

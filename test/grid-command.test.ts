/** @file `koala grid` as a user runs it: cells, sheet, manifest; stopped and gone on with. */

import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fileTexts } from "../src/image/metadata/file-texts.js";
import { readRequest } from "../src/pipeline/metadata/read.js";
import { tinyEmbedding, tinyLora, tinyModel } from "./serving.js";

const koala = new URL("../dist/cli/main.js", import.meta.url).pathname;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "koala-grid-"));
});
afterAll(() => rm(folder, { recursive: true }));

type Ended = { code: number | null; out: string; err: string };

/** `stopAfter` sends Ctrl-C once that many cells are there. */
async function grid(
  output: string,
  args: readonly string[],
  { stopAfter }: { stopAfter?: number } = {},
): Promise<Ended> {
  const child = spawn(
    process.execPath,
    [koala, "grid", "-m", tinyModel, "-o", path.join(folder, output), ...args],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  let stopped = stopAfter === undefined;
  const watch = setInterval(async () => {
    if (stopped || (await cells(output)).length < stopAfter!) return;
    stopped = true;
    child.kill("SIGINT");
  }, 20);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(watch);
  return { code, out, err };
}

const cells = (output: string) => readdir(path.join(folder, output, "cells")).catch(() => []);
const timesOf = async (output: string) =>
  new Map(
    await Promise.all(
      (await cells(output)).map(
        async (name) => [name, (await stat(path.join(folder, output, "cells", name))).mtimeMs] as const,
      ),
    ),
  );
const axes = ["-x", "prompt=red,blue", "-y", "guidance=1,3.5", "--seed", "7", "-s", "2"];

describe("a grid", () => {
  it("is generated cell by cell, each with its own settings inside", async () => {
    const { code, out, err } = await grid("whole", ["a red bicycle", ...axes, "--json"]);
    expect(err).toMatch(/4 cells, seed 7/);
    expect(code).toBe(0);
    const lines = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(
      lines.map(({ column, row, prompt, guidanceScale }) => [column, row, prompt, guidanceScale]),
    ).toEqual([
      [0, 0, "a red bicycle", 1],
      [1, 0, "a blue bicycle", 1],
      [0, 1, "a red bicycle", 3.5],
      [1, 1, "a blue bicycle", 3.5],
    ]);
    const { request } = await readRequest(lines[3].path);
    expect(request).toMatchObject({ prompt: "a blue bicycle", guidanceScale: 3.5, seed: 7n });
  });

  it("is one labelled PNG that says what varies", async () => {
    const sheet = await readFile(path.join(folder, "whole", "grid.png"));
    const { width, height } = await sharp(sheet).metadata();
    expect(width).toBeGreaterThan(2 * 64);
    expect(height).toBeGreaterThan(2 * 64);
    const texts = await fileTexts(sheet);
    expect(texts?.get("parameters")).toContain(
      'Script: X/Y/Z plot, X Type: Prompt S/R, X Values: "red,blue"',
    );
    expect(texts?.get("XML:com.adobe.xmp")).toContain("trainedAlgorithmicMedia");
  });

  it("varies the alternatives of its prompt, and the LoRAs that its prompts name", async () => {
    const prompt = "a {red|(blue:1.2)} car <lora:koala-1b-tiny-diffusers:1>";
    const flags = [
      "--prompt-syntax",
      "a1111",
      "--lora-folder",
      path.dirname(tinyLora.file),
      "--seed",
      "7",
      "-s",
      "1",
    ];
    const varied = [
      "-x",
      "prompt={red|(blue:1.2)}",
      "-y",
      "prompt=<lora:koala-1b-tiny-diffusers:1>,<lora:koala-1b-tiny-diffusers:0.5>",
    ];
    const { code, out, err } = await grid("words", [prompt, ...varied, ...flags, "--json"]);
    expect(err).not.toContain("error");
    expect(code).toBe(0);
    const lines = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ prompt: words, lora }) => [words.trim(), lora[0].scale])).toEqual([
      ["a red car", 1],
      ["a (blue:1.2) car", 1],
      ["a red car", 0.5],
      ["a (blue:1.2) car", 0.5],
    ]);
    const { request } = await readRequest(lines[1].path);
    expect(request).toMatchObject({ prompt: "a (blue:1.2) car ", promptSyntax: "a1111" });
  });

  it("reads embeddings by name, and generates cells anew for another file of one", async () => {
    const embedding = (file: string) => ["--embedding", `mix=${file}`];
    const args = ["mix", "-x", "guidance=1", "--seed", "7", "-s", "1"];
    const [bad, orchid] = [tinyEmbedding.file, tinyEmbedding.file.replace("badmix", "glass-orchid")];
    expect((await grid("embedded", [...args, ...embedding(bad)])).err).not.toContain("error");
    expect((await grid("embedded", [...args, ...embedding(bad)])).err).toContain("0 left to generate");
    const { code, out } = await grid("embedded", [...args, ...embedding(orchid), "--json"]);
    expect(code).toBe(0);
    const { path: cell } = JSON.parse(out.trim());
    expect(await cells("embedded")).toHaveLength(2);
    const { model } = await readRequest(cell);
    expect(model?.embeddings).toMatchObject([{ token: "mix" }]);
  });

  it("keeps the cells it has when an axis grows", async () => {
    const before = await timesOf("whole");
    const grown = axes.map((arg) => (arg === "prompt=red,blue" ? "prompt=red,blue,green" : arg));
    const { code, err } = await grid("whole", ["a red bicycle", ...grown]);
    expect(code).toBe(0);
    expect(err).toMatch(/6 cells, seed 7; 2 left to generate/);
    const after = await timesOf("whole");
    expect(after.size).toBe(6);
    for (const [name, time] of before) expect(after.get(name)).toBe(time);
  });

  it("goes on where Ctrl-C stopped it, with the seed that was drawn", async () => {
    const args = ["a red bicycle", "-x", "seed=1-8", "-s", "12", "-g", "3"];
    const stopped = await grid("stopped", args, { stopAfter: 2 });
    expect(stopped.code).toBe(130);
    const kept = await timesOf("stopped");
    expect(kept.size).toBeGreaterThanOrEqual(2);
    expect(kept.size).toBeLessThan(8);
    const ended = await grid("stopped", args);
    expect(ended.code).toBe(0);
    const all = await timesOf("stopped");
    expect(all.size).toBe(8);
    for (const [name, time] of kept) expect(all.get(name)).toBe(time);
    const drawn = /seed (\d+)/.exec(stopped.err)?.[1];
    expect(ended.err).toContain(`seed ${drawn}`);
  });

  it("generates a cell again that is empty, cut off or of another size, and keeps the others", async () => {
    const args = ["a red bicycle", "-x", "seed=1-4", "-s", "1", "-g", "1"];
    expect((await grid("damaged", args)).code).toBe(0);
    const names = (await cells("damaged")).toSorted();
    const files = names.map((name) => path.join(folder, "damaged", "cells", name));
    const whole = await Promise.all(files.map((file) => readFile(file)));
    await writeFile(files[0]!, "");
    await writeFile(files[1]!, whole[1]!.subarray(0, whole[1]!.length / 2));
    await writeFile(files[2]!, await sharp(whole[2]).resize(8).png().toBuffer());
    const { code, err } = await grid("damaged", args);
    expect(err).toMatch(/4 cells, seed \d+; 3 left to generate/);
    expect(code).toBe(0);
    for (const [i, file] of files.entries()) expect(await readFile(file)).toEqual(whole[i]);
  });

  it.each(["tiff", "gif", "avif"] as const)("begins with an image and a mask of %s", async (format) => {
    const of = (background: string) =>
      sharp({ create: { width: 48, height: 64, channels: 3, background } }).toFormat(format);
    const [image, mask] = [`${folder}/begin.${format}`, `${folder}/mask.${format}`];
    await of("red").toFile(image);
    await of("white").toFile(mask);
    const args = ["a red bicycle", "-x", "seed=1", "-s", "2", "--image", image, "--mask", mask];
    const { code, err } = await grid(format, args);
    expect(err).not.toContain("error");
    expect(code).toBe(0);
    const [cell] = await cells(format);
    const { width, height } = await sharp(path.join(folder, format, "cells", cell!)).metadata();
    expect([width, height]).toEqual([48, 64]);
  });

  it.each([
    ["a broken image", "new", ["a cat", "-x", "seed=1", "--image", koala], /--image: must be an image/],
    ["another prompt's folder", "whole", ["a cat", "-x", "seed=1"], /with a grid of another prompt/],
    ["words that are not in the prompt", "new", ["a cat", "-x", "prompt=dog,bird"], /x: .*in the prompt/],
    [
      "a cell that cannot be generated",
      "new",
      ["a cat", "-x", "scheduler=euler,eulr"],
      /scheduler: .*"eulr"/,
    ],
  ])("refuses %s before it generates", async (_, output, args, message) => {
    const { code, err } = await grid(output, args);
    expect(err).toMatch(message);
    expect(code).toBe(2);
    if (output === "new") expect(await cells("new")).toEqual([]);
  });
});

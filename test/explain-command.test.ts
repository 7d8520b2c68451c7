/** @file `koala explain` as a user runs it: its files, and a model beside itself. */

import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openSafetensors } from "../src/weights/safetensors-file.js";

const koala = new URL("../dist/cli/main.js", import.meta.url).pathname;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "koala-explain-"));
});
afterAll(() => rm(folder, { recursive: true }));

const explain = (...args: string[]) => promisify(execFile)(process.execPath, [koala, "explain", ...args]);
const json = async (name: string) => JSON.parse(await readFile(path.join(folder, name), "utf8"));

it("koala explain writes heat maps and numbers, of the image that generate gives, and of a model beside another", async () => {
  const first = path.join(folder, "first");
  const { stdout } = await explain(
    ...["a red apple, flat icon", "--seed", "7", "-s", "3", "--per-step"],
    "-o",
    first,
  );
  const names = ["apple", "flat", "icon"].map((word, i) => `word-0${[3, 5, 6][i]}-${word}.png`);
  expect((await readdir(first)).sort()).toEqual([
    ...[
      "attention.json",
      "attention.safetensors",
      "image.png",
      "steps.png",
      "word-01-a.png",
      "word-02-red.png",
    ],
    ...[names[0], "word-04.png", names[1], names[2], "words.png"],
  ]);
  expect(stdout.trim().split("\n")).toHaveLength(11);
  const { words, tokens, steps, rows, columns } = await json("first/attention.json");
  expect(words.map(({ word }: { word: string }) => word)).toEqual(["a", "red", "apple", ",", "flat", "icon"]);
  expect([tokens.length, steps.length, rows, columns]).toEqual([8, 3, 16, 16]);
  const tensors = await openSafetensors(path.join(first, "attention.safetensors"));
  expect(tensors.tensors.get("word_maps")!.shape).toEqual([6, 16, 16]);
  const stored = await tensors.readFloats("word_maps");
  expect(words[2].map[3][5]).toBeCloseTo(stored[2 * 256 + 3 * 16 + 5]!, 5);

  const second = path.join(folder, "second");
  await explain("--from", path.join(first, "image.png"), "--beside", "models/nano", "-o", second);
  const pixels = (name: string) => sharp(path.join(folder, name)).raw().toBuffer();
  expect(await pixels("second/image.png")).toEqual(await pixels("first/image.png"));
  const beside = await json("second/beside.json");
  for (const { relativeDifference } of beside.steps) expect(relativeDifference).toBe(0);
  for (const { correlation } of beside.words) expect(correlation).toBeCloseTo(1, 5);
  await expect(explain("a cat", "--beside", path.join(folder, "none"), "-o", second)).rejects.toMatchObject({
    stderr: expect.stringMatching(/^error: --beside: must be a folder that exists, .*none/),
  });
  const { stderr } = await explain("", "-s", "1", "-o", path.join(folder, "empty"));
  expect(stderr).toContain("the prompt has no words, so there are no heat maps");
});

/** @file Folders of Playground's, LCM's and ControlNet's kind: what is refused or warned of; runs/edm and others have the numbers. */

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { GoldenLayers } from "../../golden/conformance/layers.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { DiffusionPipeline } from "./pipeline.js";

const layers = new GoldenLayers([new URL("../../golden/data", import.meta.url).pathname]);
const scratch = mkdtempSync(path.join(tmpdir(), "koala-folders-"));
afterAll(async () => {
  rmSync(scratch, { recursive: true });
  await layers.close();
});
const engine = blockingEngine({ threads: 1 });
const opened = async (name: string) =>
  DiffusionPipeline.fromPretrained(await layers.complete(`pipelines/${name}`), { engine });
const request = { prompt: "a red bicycle", width: 64, height: 64, numInferenceSteps: 1, seed: 3 };

describe("a U-Net that reads the guidance scale", () => {
  it("warns of a negative prompt and of guidanceRescale by name, which have no effect", async () => {
    const pipe = await opened("lcm-sdxl-tiny");
    const plain = await pipe.generate({ ...request, guidanceScale: 8 });
    const other = await pipe.generate({
      ...request,
      guidanceScale: 8,
      negativePrompt: "a car",
      guidanceRescale: 0.7,
    });
    const why = "has no effect: this model reads the guidance scale itself, without a second pass";
    expect(plain.warnings).not.toContain(`negative prompt: ${why}`);
    expect(other.warnings).toEqual(
      expect.arrayContaining([`negative prompt: ${why}`, `guidanceRescale: ${why}`]),
    );
    expect(other.images[0]!.data).toEqual(plain.images[0]!.data);
    expect((await pipe.generate({ ...request, guidanceScale: 2 })).images[0]!.data).not.toEqual(
      plain.images[0]!.data,
    );
  });
});

describe("a folder that was saved with a ControlNet", () => {
  it("opens without it, and says so", async () => {
    const { warnings } = await (await opened("folders/xl-controlnet")).generate(request);
    expect(warnings).toContainEqual(
      expect.stringMatching(/^controlnet: the folder's ControlNet is not supported/),
    );
  });
});

describe("an autoencoder's latents_mean and latents_std", () => {
  it.each([
    [
      { latents_std: null },
      /latents_std: must have 4 numbers, one per channel, got none\. .* belong together/,
    ],
    [{ latents_mean: [1, 2, 3] }, /latents_mean: must have 4 numbers, one per channel, got 3/],
    [{ latents_std: [1, 2, 0, 3] }, /latents_std/],
  ])("are refused as %j", async (change, message) => {
    const folder = mkdtempSync(path.join(scratch, "edm-"));
    cpSync(await layers.complete("pipelines/edm-sdxl-tiny"), folder, { recursive: true });
    const file = path.join(folder, "vae/config.json");
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...change }));
    await expect(DiffusionPipeline.fromPretrained(folder, { engine })).rejects.toThrow(message);
  });
});

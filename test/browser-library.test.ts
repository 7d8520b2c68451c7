/** @file The library in a browser: bundled by its package's `browser` field, reading models by ranges over HTTP. */

import { writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DiffusionPipeline, readRequest } from "../src/index.js";
import { type App, openApp } from "./browser-app.js";
import { psnr } from "./psnr.js";

const nano = path.resolve("models/nano");
const request = { prompt: "a red apple, flat icon", seed: 7, numInferenceSteps: 4 };

let app: App;
beforeAll(async () => {
  app = await openApp({ nano });
});
afterAll(() => app?.close());

async function written(png: readonly number[]): Promise<string> {
  const file = path.join(app.folder, "image.png");
  await writeFile(file, Uint8Array.from(png));
  return file;
}

describe("the library in a browser", () => {
  it("generates the bundled model's image as Node does, by ranges, and the PNG says how", async () => {
    const { width, height, data, png, device, reason } = await app.generate("nano", request);
    expect([width, height]).toEqual([128, 128]);
    await using pipeline = await DiffusionPipeline.fromPretrained(nano);
    const { images } = await pipeline.generate(request);
    expect(psnr(images[0]!.data, data)).toBeGreaterThan(60);
    // Headers by ranges; in a page's own thread each file of weights is then read once.
    const whole = app.server.asked.filter(({ path, isRange }) => path.endsWith(".safetensors") && !isRange);
    expect(whole).toHaveLength(4);
    const { request: saved } = await readRequest(await written(png));
    expect(saved).toMatchObject({ prompt: request.prompt, seed: 7n, numInferenceSteps: 4 });
    expect(device).toBe("cpu");
    expect(reason).toMatch(/^no other device can be used; webgpu: this browser /);
  });

  it("generates the same with one thread where the page is not isolated", async () => {
    const one = { numInferenceSteps: 1, prompt: "a penguin, flat icon", seed: 3 };
    const { data } = await app.generate("nano", one, { threads: 2 });
    const other = await openApp({ nano }, { headers: {} });
    try {
      expect(await other.page.evaluate("crossOriginIsolated")).toBe(false);
      expect(psnr((await other.generate("nano", one, { threads: 2 })).data, data)).toBeGreaterThan(60);
    } finally {
      await other.close();
    }
  });

  // Node's own images with them are 46.7 and 37.8 dB from those without (AVX2), the browser's 49.3 and 38.2.
  it.each([
    ["int8", 45],
    ["int8-fast", 35],
  ] as const)("holds weights in %s, about as exact as Node's, and keeps them", async (weights, decibels) => {
    const { data, warnings } = await app.generate("nano", request, { weights });
    expect(warnings).toEqual([]);
    await using pipeline = await DiffusionPipeline.fromPretrained(nano);
    const { images } = await pipeline.generate(request);
    expect(psnr(images[0]!.data, data)).toBeGreaterThan(decibels);
    const stored = () =>
      app.page.evaluate(`(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("koala-diffusion-weights");
        const files = [];
        for await (const [name, handle] of folder.entries()) files.push([name, (await handle.getFile()).lastModified]);
        return files.sort();
      })()`);
    const made = await stored();
    expect(made).toEqual(expect.arrayContaining([[expect.stringMatching(/^unet-/), expect.any(Number)]]));
    expect((await app.generate("nano", request, { weights })).data).toEqual(data);
    expect(await stored()).toEqual(made);
  });

  it("refuses what a browser does not have by name", async () => {
    await expect(app.generate("nano", { prompt: "a cat", width: 100 })).rejects.toThrow(
      /width: must be a multiple of 8/,
    );
    await expect(app.generate("nano", request, { device: "cuda" })).rejects.toThrow(
      /device: must be one that this machine has, got "cuda": no browser has it/,
    );
    await expect(app.generate("nano", request, { device: "wasm" })).rejects.toThrow(
      /device: must be auto, .*Did you mean "cpu"\?/,
    );
  });
});

/** @file Whole runs in Chromium by WebAssembly, compared with Diffusers' numbers. */

import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openGolden } from "../golden/conformance/golden-file.js";
import { decodeImage } from "../src/image/codec.js";
import { type App, openApp } from "./browser-app.js";
import { distance, goldenRun, runNames } from "./golden-runs.js";
import { psnr } from "./psnr.js";

const runs = await Promise.all(runNames.map(goldenRun));

describe("by WebAssembly", () => {
  let app: App;
  beforeAll(async () => {
    app = await openApp(Object.fromEntries(runs.map(({ model, folder }) => [model, folder])));
  });
  afterAll(() => app?.close());

  // SDXL's second text encoder is in bfloat16, KOALA-700M in float16 and in four files.
  it.each(runs)("$model generates as Diffusers does", async ({ model, request, options, results }) => {
    const { latents, data } = await app.generate(model, request, { ...options, device: "cpu" });
    const { expected } = await openGolden(`${results}.safetensors`, () => false);
    expect(distance(latents, (await expected("final_latents")).data as Float32Array)).toBeLessThan(1e-3);
    const { image } = await decodeImage(await readFile(`${results}.png`));
    expect(psnr(data, image.data)).toBeGreaterThan(60);
  });
});

/** @file Decoding in tiles as a request asks for it: Diffusers' image, its record, and what is said of it. */

import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { schedulerFromConfig } from "../../src/diffusion/schedulers/registry.js";
import { estimateMemory } from "../../src/pipeline/memory-estimate.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { bicycle, folder, opened } from "./opened.js";

const golden = new URL("../../golden/data/runs/koala-1b-tiny/", import.meta.url).pathname;
const asGolden = {
  prompt: "a red bicycle beside a yellow wall, long blue shadows",
  negativePrompt: "worst quality, low quality, illustration, low resolution",
  ...{ width: 104, height: 72, numInferenceSteps: 3, guidanceScale: 3.5, seed: 42 },
};

describe("vaeTiling", () => {
  it("gives Diffusers' image, records the tile, and the record gives the image again", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const wanted = await sharp(`${golden}vae-tiling.png`).raw().toBuffer();
      pipe.scheduler = schedulerFromConfig(pipe.scheduler.config, { timestep_spacing: "trailing" });
      const { images } = await pipe.generate({ ...asGolden, vaeTiling: true });
      const { data, metadata } = images[0]!;
      expect(data.filter((v, i) => Math.abs(v - wanted[i]!) > 1).length).toBe(0);
      expect(metadata).toMatchObject({ vaeTiling: 64 });
      const again = await pipe.generate({ ...asGolden, vaeTiling: metadata!.vaeTiling! });
      expect(again.images[0]!.data).toEqual(data);
      const whole = await pipe.generate(asGolden);
      expect(whole.images[0]!.data).not.toEqual(data);
      expect(whole.images[0]!.metadata).not.toHaveProperty("vaeTiling");
    }));

  it("has no effect on an image that is one tile, and says so", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const { images, warnings } = await pipe.generate({ ...bicycle, vaeTiling: true, onWarning: () => {} });
      expect(warnings).toContainEqual(expect.stringMatching(/^vaeTiling: has no effect, because 64 x 64 /));
      expect(images[0]!.metadata).not.toHaveProperty("vaeTiling");
    }));

  it("is on by itself where decoding at once would not fit, and the image says so", async () => {
    const size = { width: 512, height: 512, batch: 1, passes: 1, encodes: false };
    const needs = await opened("koala-1b-tiny", async ({ components }) => {
      const bytes = (tile?: number) => {
        const { oneByOne, base } = estimateMemory(components, { ...size, ...(tile && { tile }) });
        return oneByOne - base;
      };
      return { whole: bytes(), tiled: bytes(64) };
    });
    expect(needs.tiled).toBeLessThan(needs.whole);
    const request = { ...bicycle, ...size, guidanceScale: 1, numInferenceSteps: 1, onWarning: () => {} };
    const { batch, passes, encodes, ...fields } = request;
    const open = (deviceMemory: number) =>
      DiffusionPipeline.fromPretrained(folder("koala-1b-tiny"), { threads: 1, deviceMemory });
    await using pipe = await open(needs.tiled);
    const { images, warnings } = await pipe.generate(fields);
    expect(warnings).toContainEqual(
      expect.stringMatching(/^vaeTiling: decoding 512 x 512 at once would not/),
    );
    expect(images[0]!.metadata).toMatchObject({ vaeTiling: 64 });
    const never = pipe.generate({ ...fields, vaeTiling: false });
    await expect(never).rejects.toThrow(/Decoding in tiles of 64 pixels .* would fit/);
    await using small = await open(needs.tiled - 1);
    await expect(small.generate(fields)).rejects.toMatchObject({ field: "memory" });
  });

  it("of a size that the autoencoder cannot have is refused before anything is loaded", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const request = { ...bicycle, vaeTiling: 100 };
      await expect(pipe.generate(request)).rejects.toMatchObject({ field: "vaeTiling" });
      expect(pipe.components.textEncoders[0]!.component.isLoaded).toBe(false);
    }));
});

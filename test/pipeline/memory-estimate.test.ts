/** @file What is predicted of the tiny models' memory, and what is refused for it. */

import { describe, expect, it } from "vitest";
import { cpu, type Device } from "../../src/engine/device.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { InvalidRequest } from "../../src/errors.js";
import { loadComponents } from "../../src/pipeline/components.js";
import {
  estimateMemory,
  type GenerationSize,
  planMemory,
  refuse,
  runtimeBytes,
} from "../../src/pipeline/memory-estimate.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";

const folder = (name: string) => new URL(`../../golden/data/pipelines/${name}`, import.meta.url).pathname;
const components = await loadComponents(folder("koala-1b-tiny"), { engine: blockingEngine() });
const square = (pixels: number, batch = 1): GenerationSize => ({
  width: pixels,
  height: pixels,
  batch,
  passes: 2 * batch,
  encodes: false,
});

describe("the memory of a run", () => {
  it("has each part, and between one after the other and all at once", () => {
    const { components: each, kept, oneByOne } = estimateMemory(components, square(64));
    expect(each.map((p) => p.name)).toEqual(["text_encoder", "text_encoder_2", "unet", "vae"]);
    expect(oneByOne).toBe(runtimeBytes + Math.max(...each.map((p) => p.peak)));
    expect(kept).toBeGreaterThan(oneByOne);
  });

  it("has weights at two bytes where those of half precision stay as stored", async () => {
    const half = await loadComponents(folder("koala-700m-tiny"), { engine: blockingEngine() });
    const loadedOn = (device: Device) => {
      const { components: each } = estimateMemory(half, square(64), device);
      return each.find(({ name }) => name === "unet")!.loaded;
    };
    const files = half.unet.component.bytes / 2;
    expect(loadedOn(cpu) - loadedOn({ ...cpu, mostWidened: 0 })).toBeGreaterThan(files);
    expect(loadedOn({ ...cpu, mostWidened: half.unet.component.bytes })).toBe(loadedOn(cpu));
  });

  it("counts the autoencoder's other half where an image is given", () => {
    const { components: each } = estimateMemory(components, { ...square(64), encodes: true });
    expect(each.map((p) => p.name)).toContain("vae encoder");
  });

  it("grows with pixels in the autoencoder and with the batch in the U-Net, weights do not", () => {
    const at = (size: GenerationSize) =>
      new Map(estimateMemory(components, size).components.map((p) => [p.name, p]));
    const [small, large, more] = [at(square(256)), at(square(1024)), at(square(256, 4))];
    expect(large.get("vae")!.run).toBeGreaterThan(12 * small.get("vae")!.run);
    expect(more.get("unet")!.run).toBeGreaterThan(3 * small.get("unet")!.run);
    expect(more.get("vae")!.run).toBe(small.get("vae")!.run);
    for (const name of small.keys()) expect(large.get(name)!.loaded).toBe(small.get(name)!.loaded);
  });

  it("fits whole, part by part, or not", () => {
    const bytes = estimateMemory(components, square(512));
    const own = ({ kept, oneByOne }: typeof bytes) => [kept - runtimeBytes, oneByOne - runtimeBytes] as const;
    const [kept, oneByOne] = own(bytes);
    expect(planMemory(bytes, kept)).toBe("kept");
    expect(planMemory(bytes, kept - 1)).toBe("one by one");
    expect(planMemory(bytes, oneByOne - 1)).toBe("no");
  });
});

describe("a run that cannot fit is refused", () => {
  const refused = (size: GenerationSize, available: number) => () =>
    refuse(components, size, estimateMemory(components, size), { available });

  it("with tiles of the autoencoder that would, else with a smaller size", () => {
    const rows = { passes: 64 }; // with so many, the U-Net takes more than the autoencoder
    const available = (change: Partial<GenerationSize>) =>
      estimateMemory(components, { ...square(1536), ...change }).oneByOne - runtimeBytes;
    expect(refused(square(2048), available({}))).toThrow(/Decoding in tiles of 64 pixels .* would fit/);
    expect(refused({ ...square(2048), ...rows }, available(rows))).toThrow(
      /got .* GB available: 1 of 2048x2048 .* 1536x1536 would fit/,
    );
  });

  it("with one image instead of many", () => {
    const available = estimateMemory(components, square(512)).oneByOne - runtimeBytes;
    expect(refused(square(512, 64), available)).toThrow(/One image at a time \(512x512\) would fit/);
  });

  it("saying so where nothing fits", () => {
    expect(refused(square(512), 0)).toThrow(/No smaller size fits either/);
  });

  it("before anything is encoded, unless it is told to ignore memory", async () => {
    const pipe = await DiffusionPipeline.fromPretrained(folder("koala-1b-tiny"), { threads: 1 });
    const request = {
      prompt: "x",
      width: 8192,
      height: 8192,
      numInferenceSteps: 1,
      numImagesPerPrompt: 1024,
    };
    await expect(pipe.generate(request)).rejects.toThrow(InvalidRequest);
    await expect(pipe.generate(request)).rejects.toMatchObject({ field: "memory" });
    expect(pipe.components.textEncoders[0]!.component.isLoaded).toBe(false);
    const fine = { ...request, width: 64, height: 64, numImagesPerPrompt: 1, ignoreMemory: true };
    expect((await pipe.generate(fine)).images).toHaveLength(1);
    await pipe.close();
  });
});

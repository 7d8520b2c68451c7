/** @file What a pipeline refuses by name: requests, options of opening, folders. */

import { describe, expect, it } from "vitest";
import { Generator } from "../../src/diffusion/random.js";
import { InvalidRequest } from "../../src/errors.js";
import { DiffusionPipeline, StableDiffusionPipeline } from "../../src/pipeline/pipeline.js";
import type { GenerateRequest } from "../../src/pipeline/request.js";
import { bicycle, folder, opened } from "./opened.js";

describe("a request is refused by the field's name", () => {
  const refused: [string, Partial<GenerateRequest>, RegExp][] = [
    [
      "a width between multiples of 8",
      { width: 500 },
      /width: must be a multiple of 8, got 500. Nearest: 496 or 504/,
    ],
    [
      "a width, before an image that is not there is read",
      { image: "/nowhere/image.png", strength: 0.5, width: -8 },
      /^width: must be a whole number from 8 to 8192, got -8/,
    ],
    [
      "layers to skip, before an image that is not there is read",
      { image: "/nowhere/image.png", clipSkip: 99 },
      /^clipSkip: must be a whole number from 0 to/,
    ],
    [
      "an image that is none",
      { image: { width: 8, height: 8, data: new Uint8Array(3) } },
      /^image: data must hold 3 bytes for each of 8 x 8 pixels, got 3/,
    ],
    [
      "an image with alpha",
      { image: { width: 8, height: 8, data: new Uint8Array(4 * 64) } },
      /^image: data must hold 3 bytes for each of 8 x 8 pixels, got 256/,
    ],
    [
      "an image without pixels",
      { image: { width: 0, height: 0, data: new Uint8Array(0) } },
      /^image: data must hold 3 bytes for each of 0 x 0 pixels, got 0/,
    ],
    [
      "a mask with alpha",
      {
        image: { width: 8, height: 8, data: new Uint8Array(3 * 64) },
        mask: { width: 8, height: 8, data: new Uint8Array(4 * 64) },
      },
      /^mask: data must hold 3 bytes for each of 8 x 8 pixels, got 256/,
    ],
    [
      "an address as an image",
      { image: new URL("file:///a.png") as never },
      /^image: must be a path, .*got URL\. Give fileURLToPath of it/,
    ],
    [
      "Diffusers' name of an argument",
      { guidance_scale: 3 } as never,
      /^guidance_scale: is not an option of generate\. Did you mean "guidanceScale"\?/,
    ],
    [
      "an unknown argument",
      { numberOfSteps: 3 } as never,
      /^numberOfSteps: is not an option of generate\. Leave it out/,
    ],
    ["a seed of null", { seed: null as never }, /^seed: must be an integer, got null/],
    ["a seed of text", { seed: "7" as never }, /^seed: must be an integer, got "7"/],
    [
      "latents of doubles",
      { latents: new Float64Array(256) as never },
      /^latents: must be a Float32Array, got Float64A/,
    ],
    ["one noise level", { sigmas: [0] }, /^sigmas: must hold at least two noise levels, got one/],
    ["no list of timesteps", { timesteps: 5 as never }, /^timesteps: must be a list of numbers, got 5/],
    [
      "a size condition that is text",
      { originalSize: "64" as never },
      /^originalSize: must be two numbers, vertical and horizontal, got "64"/,
    ],
    [
      "a size condition of one number",
      { originalSize: [64] as never },
      /^originalSize: must be two numbers, vertical and horizontal, got \[64\]/,
    ],
    ["no height", { height: 0 }, /height: must be a whole number/],
    ["no steps", { numInferenceSteps: 0 }, /numInferenceSteps/],
    ["an endless guidance", { guidanceScale: Number.POSITIVE_INFINITY }, /guidanceScale/],
    ["a prompt that is no text", { prompt: 5 as unknown as string }, /prompt: must be text, got 5/],
    ["no prompts", { prompt: [] }, /prompt: must hold at least one/],
    [
      "two negatives for three prompts",
      { prompt: ["a", "b", "c"], negativePrompt: ["d", "e"] },
      /negativePrompt: .*3, one per prompt/,
    ],
    ["latents of another size", { latents: new Float32Array(3) }, /latents: must hold 256 numbers/],
    [
      "latents that are not finite",
      { latents: new Float32Array(256).fill(Number.NaN) },
      /latents: must be finite/,
    ],
    [
      "generators for another batch",
      { generator: [new Generator(1), new Generator(2)] },
      /generator: must be one generator or 1/,
    ],
    ["more layers skipped than there are", { clipSkip: 9 }, /clipSkip: must be a whole number from 0 to/],
    ["both timesteps and sigmas", { timesteps: [999], sigmas: [1, 0] }, /sigmas: cannot be given together/],
  ];
  it.each(refused)("%s", (_, change, message) =>
    opened("koala-1b-tiny", async (pipe) => {
      const attempt = pipe.generate({ ...bicycle, ...change });
      await expect(attempt).rejects.toThrow(InvalidRequest);
      await expect(attempt).rejects.toThrow(message);
    }),
  );

  it("all of them, where the pipeline was closed", async () => {
    const pipe = await DiffusionPipeline.fromPretrained(folder("koala-1b-tiny"), { threads: 1 });
    await pipe.close();
    await expect(pipe.generate(bicycle)).rejects.toThrow(InvalidRequest);
    await expect(pipe.generate(bicycle)).rejects.toThrow(/^pipeline: must be open, got one that was closed/);
  });

  it("SDXL's arguments, by a Stable Diffusion 2 model", () =>
    opened("sd2-tiny", async (pipe) => {
      await expect(pipe.generate({ ...bicycle, prompt2: "x" })).rejects.toThrow(/prompt2: belongs to SDXL/);
      const image = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3) };
      const taken = pipe.generate({ ...bicycle, image, denoisingStart: 0.5 });
      await expect(taken).rejects.toThrow(/denoisingStart: belongs to SDXL/);
    }));

  it("a strength or a start that leaves no step, also of custom timesteps", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const image = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3) };
      const refused = (change: Partial<GenerateRequest>) =>
        expect(pipe.generate({ ...bicycle, image, onWarning() {}, ...change })).rejects;
      await refused({ strength: 0.3 }).toThrow(
        "strength: must leave a step to run, got 0.3 of 2 steps. Raise it, or take more steps.",
      );
      await refused({ timesteps: [900, 500, 100], strength: 0.3 }).toThrow(/got 0.3 of 3 steps/);
      await refused({ timesteps: [900, 500], denoisingStart: 0.6 }).toThrow(
        "denoisingStart: must leave a step to run, got 0.6 of 2 steps. Lower it, or take more steps.",
      );
    }));
});

describe("a pipeline that is opened without a model", () => {
  it("is the bundled one, and is closed at the end of the block that uses it", async () => {
    let used: DiffusionPipeline;
    {
      await using pipe = await DiffusionPipeline.fromPretrained(undefined, { threads: 1 });
      const { images } = await pipe.generate({ prompt: "a red apple, flat icon", seed: 7 });
      expect(images[0]).toMatchObject({ width: 128, height: 128, seed: 7n });
      expect(images[0]!.metadata).toMatchObject({ model: { name: "nano" }, numInferenceSteps: 10 });
      used = pipe;
    }
    await expect(used.generate({ prompt: "a red apple, flat icon", seed: 7 })).rejects.toThrow(
      InvalidRequest,
    );
  });
});

describe("an option of opening is refused", () => {
  it.each([
    ["that is misspelt", { torch_dtype: "float16" }, /^torch_dtype: is not an option of fromPretrained/],
    [
      "of a LoRA",
      { loras: [{ file: "a", weight: 1 }] },
      /^weight: is not an option of a LoRA\. Leave it out/,
    ],
    ["that names no precision", { dtype: "fp16" }, /^dtype: must be float32 or float16, got "fp16"/],
    [
      "that is no amount of memory",
      { deviceMemory: "8GB" },
      /^deviceMemory: must be a whole number of bytes, got "8GB"/,
    ],
    ["that names no device", { device: "gpu" }, /^device: must be auto, .* Did you mean "auto"/],
    ["list that is none", "fp16", /^options: of fromPretrained must be an object, got "fp16"/],
  ])("%s", async (_, options, message) => {
    const attempt = DiffusionPipeline.fromPretrained("/nowhere/at/all", options as never);
    await expect(attempt).rejects.toThrow(InvalidRequest);
    await expect(attempt).rejects.toThrow(message);
  });
});

describe("a folder is refused with a remedy", () => {
  it("that does not exist", async () => {
    await expect(DiffusionPipeline.fromPretrained("/nowhere/at/all")).rejects.toThrow(
      /model: must be a folder that exists, or a Hub id/,
    );
  });

  it("when it is of another class than asked for", async () => {
    const attempt = StableDiffusionPipeline.fromPretrained(folder("koala-1b-tiny"));
    await expect(attempt).rejects.toThrow(
      /_class_name: must be StableDiffusionPipeline, got StableDiffusionXLPipeline/,
    );
  });
});

it("what was left out when it was opened is told with every generation", () =>
  opened("koala-1b-tiny", async (pipe) => {
    const components = { ...pipe.components, warnings: ["x.safetensors: 3 of 7 layers fit nothing"] };
    Object.assign(pipe, { components });
    for (let i = 0; i < 2; i++) {
      const { warnings, images } = await pipe.generate({ ...bicycle, onWarning() {} });
      expect(warnings).toEqual(components.warnings);
      expect(images[0]!.metadata!.warnings).toEqual(components.warnings);
    }
  }));

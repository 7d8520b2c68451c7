/** @file Requests go through an image's bytes and come out as they were, on one pipeline kept open. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Generator } from "../../../src/diffusion/random.js";
import { a1111Names, a1111Scheduler } from "../../../src/diffusion/schedulers/a1111-names.js";
import {
  schedulerFromConfig,
  schedulerNamed,
  schedulerNames,
  schedulerShortNames,
} from "../../../src/diffusion/schedulers/registry.js";
import type { Scheduler } from "../../../src/diffusion/schedulers/scheduler.js";
import { InvalidRequest } from "../../../src/errors.js";
import { encodeImage } from "../../../src/image/codec.js";
import { withPngTexts } from "../../../src/image/metadata/png-texts.js";
import { GeneratedImage } from "../../../src/pipeline/generated-image.js";
import { metadataProblem } from "../../../src/pipeline/metadata/capacity.js";
import { readRequest } from "../../../src/pipeline/metadata/read.js";
import { parseMetadata } from "../../../src/pipeline/metadata/schema.js";
import { metadataTexts } from "../../../src/pipeline/metadata/write.js";
import { type DiffusionPipeline, StableDiffusionXLPipeline } from "../../../src/pipeline/pipeline.js";
import type { GenerateRequest } from "../../../src/pipeline/request.js";

const model = new URL("../../../golden/data/pipelines/koala-1b-tiny", import.meta.url).pathname;
const base: GenerateRequest = {
  prompt: "a red bicycle",
  width: 64,
  height: 64,
  numInferenceSteps: 2,
  seed: 7,
};

let pipe: DiffusionPipeline;
let own: Scheduler;
let folder: string;

beforeAll(async () => {
  pipe = await StableDiffusionXLPipeline.fromPretrained(model, { threads: 1 });
  own = pipe.scheduler;
  folder = await mkdtemp(path.join(tmpdir(), "saved-"));
});

afterAll(async () => {
  await pipe.close();
  await rm(folder, { recursive: true });
});

async function generated(request: GenerateRequest, scheduler = own) {
  pipe.scheduler = scheduler;
  return (await pipe.generate(request)).images[0]!;
}

/** Reads the file as a program would that knows nothing else, and generates it. */
async function generatedAgain(file: string) {
  const { request, scheduler } = await readRequest(file);
  return generated(request, schedulerFromConfig({}, scheduler!.config, scheduler!.className));
}

describe("an image generated again from its file has the same bytes", () => {
  const named = (name: string) => {
    const { className, overrides } = schedulerNamed(name);
    return schedulerFromConfig(own.config, overrides, className);
  };
  it.each<[string, Partial<GenerateRequest>, string?]>([
    ["prompts of both encoders", { prompt2: "oil, grün", negativePrompt: "ugly", negativePrompt2: "漢字" }],
    ["an empty negative prompt, which is not none", { negativePrompt: "" }],
    ["a prompt of one surrogate and control characters", { prompt: "\ud83d\u0000\u0007\r\n\u2028x" }],
    ["rescaled guidance", { guidanceScale: 6.1, guidanceRescale: 0.7 }],
    ["eta", { eta: 0.5 }, "ddim"],
    ["timesteps", { timesteps: [801, 401, 1] }],
    ["sigmas", { sigmas: [9.7, 0.1 + 0.2, 0] }],
    ["the noise of CUDA", { rng: "cuda", seed: 2n ** 63n }, "euler-a"],
    ["the greatest seed", { seed: 2n ** 64n - 1n }],
    [
      "sizes and crops",
      { originalSize: [128, 64], cropsCoordsTopLeft: [8, 0], negativeTargetSize: [32, 32] },
    ],
    ["an early end", { denoisingEnd: 0.6, numInferenceSteps: 4 }],
    ["clip skip", { clipSkip: 1 }],
  ])("with %s", async (_, change, scheduler) => {
    const file = path.join(folder, "change.png");
    const first = await generated({ ...base, ...change }, scheduler === undefined ? own : named(scheduler));
    await first.save(file);
    const again = await generatedAgain(file);
    expect(await again.encode("png")).toEqual(await first.encode("png"));
    expect(again.metadata).toEqual(first.metadata);
  });

  it("one of a batch of two prompts, without the other's", async () => {
    pipe.scheduler = own;
    const file = path.join(folder, "batch.png");
    const request = { ...base, prompt: ["one", "a secret"], negativePrompt: ["ugly", "hidden"] };
    const { images } = await pipe.generate(request);
    await images[0]!.save(file);
    expect(JSON.stringify(images[0]!.metadata)).not.toMatch(/secret|hidden/);
    expect(await (await generatedAgain(file)).encode("webp")).toEqual(await images[0]!.encode("webp"));
  });
});

describe("a scheduler", () => {
  it.each(schedulerShortNames)("%s is the same from its record, with the same steps", async (name) => {
    const { className, overrides } = schedulerNamed(name);
    const scheduler = schedulerFromConfig(own.config, overrides, className);
    const { metadata: record } = await generated({ ...base, numInferenceSteps: 1 }, scheduler);
    const again = schedulerFromConfig({}, record!.scheduler.config, record!.scheduler.className);
    for (const one of [scheduler, again]) one.setTimesteps(5);
    expect(again.timesteps).toEqual(scheduler.timesteps);
    expect(again.sigmas).toEqual(scheduler.sigmas);
    const settings = (config: object) =>
      Object.entries(config).filter(([key]) => !key.startsWith("_") && key in again.config);
    expect(settings(again.config).sort()).toEqual(settings(scheduler.config).sort());
  });

  it.each(schedulerNames)("%s has a name in A1111's texts that leads back to it", (className) => {
    const { sampler } = a1111Names(schedulerFromConfig({}, {}, className));
    expect(a1111Scheduler(sampler)?.className).toBe(className);
  });

  it("in an older text has its schedule behind the sampler's name", () => {
    expect(a1111Scheduler("DPM++ 2M SDE Karras")).toEqual(a1111Scheduler("DPM++ 2M SDE", "Karras"));
    expect(a1111Scheduler("DPM++ 2M SDE Karras")).toMatchObject(schedulerNamed("dpmpp-2m-sde-karras"));
  });
});

it("what only the program had is named when the image is to be generated again", async () => {
  const file = path.join(folder, "generator.png");
  await (await generated({ ...base, generator: new Generator(7) })).save(file);
  await expect(readRequest(file)).rejects.toThrow(
    /^generator\.png: generator: was an argument that images do not record/,
  );
});

it("a record with any of its bytes or values changed is read, or refused by an InvalidRequest", async () => {
  const { record } = metadataTexts((await generated(base)).metadata!);
  const random = new Generator(3);
  const below = (high: number) => random.randint(1, { high })[0]!;
  const values: unknown[] = [null, -1, 1e300, "", [], {}, "x".repeat(9), [[1]], true, { __proto__: 1 }];
  const changes = Object.keys(JSON.parse(record)).flatMap((key) =>
    values.map((value) => JSON.stringify({ ...JSON.parse(record), [key]: value })),
  );
  for (let i = 0; i < 300; i++) {
    const bytes = Buffer.from(record);
    for (let n = below(4); n >= 0; n--) bytes[below(bytes.length)] = 32 + below(95);
    changes.push(bytes.toString("latin1").slice(0, i % 4 ? undefined : below(bytes.length)));
  }
  changes.push("[".repeat(200_000), `{"scheduler":${"[".repeat(100_000)}${"]".repeat(100_000)}}`);
  let refused = 0;
  for (const text of changes) {
    try {
      const { scheduler } = parseMetadata(text, { file: "p.png", app: "koala-diffusion 0" });
      schedulerFromConfig({}, scheduler.config, scheduler.className);
    } catch (error) {
      expect(error, text.slice(0, 300)).toBeInstanceOf(InvalidRequest);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(200);
});

describe("of another program's text", () => {
  const read = async (parameters: string) => {
    const file = path.join(folder, "other.png");
    const image = { width: 8, height: 8, data: new Uint8Array(192) };
    await writeFile(file, withPngTexts(await encodeImage(image, "png"), { parameters }));
    return readRequest(file);
  };

  it("prompts, steps, scale, seed, size and sampler are taken, and noise of a GPU is assumed", async () => {
    const last =
      "Steps: 28, Sampler: Euler a, Schedule type: SGM Uniform, CFG scale: 6.5, Seed: 5, Size: 64x72";
    expect(await read(`two\nlines\nNegative prompt: text\n${last}, Model: base, Version: v1.10.1`)).toEqual({
      request: {
        prompt: "two\nlines",
        promptSyntax: "a1111",
        negativePrompt: "text",
        numInferenceSteps: 28,
        guidanceScale: 6.5,
        seed: 5n,
        width: 64,
        height: 72,
        rng: "cuda",
      },
      scheduler: { className: "EulerAncestralDiscreteScheduler", config: { timestep_spacing: "trailing" } },
      model: { name: "base" },
      image: undefined,
      mask: undefined,
      exact: false,
      notes: ["other.png was made by AUTOMATIC1111 or a program like it: the image will be similar at best"],
    });
  });

  it("values that cannot be used are passed over and named", async () => {
    const bad = "Steps: 0, Sampler: Nobody's, Seed: -1, Size: 8, CFG scale: 1e9, Hires upscale: 2";
    const { request, scheduler, notes } = await read(`x\n${bad}`);
    expect(request).toEqual({ prompt: "x", promptSyntax: "a1111", rng: "cuda" });
    expect(scheduler).toBeUndefined();
    expect(notes[0]).toMatch(/; not taken over: Steps, Sampler, Seed, Size, CFG scale, Hires upscale$/);
  });

  it("what is not said, and what is not taken over, is named", async () => {
    const { notes } = await read(
      "a (red:1.2) fox <lora:ink:0.8>\nSteps: 4, Seed: 1, Denoising strength: 0.5",
    );
    expect(notes[0]).toMatch(
      /; not taken over: Denoising strength; not in the file: Sampler, CFG scale, Size$/,
    );
  });

  it("a seed of 64 bits is taken whole, and one beyond them or of -1 is not", async () => {
    const seedOf = async (seed: string) => (await read(`x\nSteps: 4, Size: 8x8, Seed: ${seed}`)).request.seed;
    expect(await seedOf("18446744073709551615")).toBe(2n ** 64n - 1n);
    expect(await seedOf("18446744073709551616")).toBeUndefined();
    expect(await seedOf("-1")).toBeUndefined();
  });

  it("a text without settings is refused", async () => {
    await expect(read("just a caption")).rejects.toThrow(
      /^image: other\.png: must be an image that holds its settings, got no known program's, but other texts: "parameters"\./,
    );
  });
});

describe("a file of another program", () => {
  const place = (name: string) =>
    new URL(`../../../src/image/metadata/testdata/${name}`, import.meta.url).pathname;

  it.each([
    "template-after-steps.png",
    "newline-in-value.png",
    "no-charset.jpg",
    "fooocus-ifd0.jpg",
    "comment.jpg",
    "xpcomment.jpg",
    "exif.avif",
  ])("%s gives its prompts, steps and seed", async (file) => {
    const { request, scheduler } = await readRequest(place(file));
    expect(request).toMatchObject({
      prompt: "a cat",
      negativePrompt: "ugly, bad",
      numInferenceSteps: 3,
      guidanceScale: 7,
      seed: 1234567890123n,
      width: 64,
      height: 64,
    });
    expect(scheduler?.className).toBe("EulerAncestralDiscreteScheduler");
  });

  it("of ComfyUI gives its graph's settings, a seed of 64 bits and the CPU's noise among them", async () => {
    for (const file of ["comfyui.png", "comfyui.webp"])
      expect(await readRequest(place(file))).toMatchObject({
        request: {
          prompt: 'a "grün" lighthouse',
          negativePrompt: "text, watermark",
          numInferenceSteps: 20,
          guidanceScale: 6.5,
          seed: 2n ** 64n - 1n,
          width: 832,
          height: 1216,
          rng: "cpu",
        },
        scheduler: { className: "DPMSolverMultistepScheduler", config: { use_karras_sigmas: true } },
        model: { name: "sd_xl_base_1.0" },
        notes: [`${file} was made by ComfyUI: the image will be similar at best`],
      });
  });

  it("whose settings cannot be used is said to be that program's", async () => {
    await expect(readRequest(place("drop-comfy.png"))).rejects.toThrow(
      /^image: drop-comfy\.png: must hold settings that can be read, got those of ComfyUI: its prompt was not found: /,
    );
    await expect(readRequest(place("jis.jpg"))).rejects.toThrow(/but other texts: "UserComment in JIS"\./);
  });
});

it("the longest prompt that a JPEG or WebP is said to hold is kept in one, and read again", async () => {
  const first = await generated({ ...base, numInferenceSteps: 1 });
  for (const format of ["jpeg", "webp"] as const)
    for (const letter of ["a", "漢"]) {
      let length = 0;
      for (let step = 2 ** 16; step >= 1; step /= 2)
        if (!metadataProblem(format, { prompt: letter.repeat(length + step) })) length += step;
      expect(length).toBeGreaterThan(9000);
      const record = { ...first.metadata!, prompt: letter.repeat(length) };
      const file = path.join(folder, `long.${format}`);
      await new GeneratedImage(first, 7n, record).save(file);
      expect((await readRequest(file)).request.prompt).toHaveLength(length);
    }
});

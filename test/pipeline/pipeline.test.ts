/** @file What a pipeline promises beyond Diffusers' numbers, which `npm run golden` compares. */

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { EDMEulerScheduler } from "../../src/diffusion/schedulers/edm.js";
import { EulerDiscreteScheduler } from "../../src/diffusion/schedulers/euler.js";
import { Cancelled } from "../../src/errors.js";
import {
  DiffusionPipeline,
  StableDiffusionPipeline,
  StableDiffusionXLPipeline,
} from "../../src/pipeline/pipeline.js";
import type { GenerateRequest } from "../../src/pipeline/request.js";
import { withWords } from "../vocabulary-model.js";
import { bicycle, folder, opened } from "./opened.js";

/** Gives every [C, C] projection of a file around attention the shape [C, C, 1, 1]; its bytes stay. */
async function makeConvolutions(file: string): Promise<void> {
  const bytes = await readFile(file);
  const end = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, end)) as Record<string, { shape: number[] }>;
  const names = Object.keys(header).filter((name) => /\.proj_(in|out)\.weight$/.test(name));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) header[name]!.shape.push(1, 1);
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await writeFile(file, Buffer.concat([length, text, bytes.subarray(end)]));
}

describe("a pipeline", () => {
  it("is chosen by model_index.json", async () => {
    await opened("sd2-tiny", async (pipe) => expect(pipe).toBeInstanceOf(StableDiffusionPipeline));
    await opened("koala-1b-tiny", async (pipe) => expect(pipe).toBeInstanceOf(StableDiffusionXLPipeline));
  });

  it("generates the same bytes from the same seed, others from another seed or prompt", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const run = async (change: Partial<GenerateRequest>) =>
        (await pipe.generate({ ...bicycle, ...change })).images[0]!.data;
      const first = await run({});
      expect(await run({})).toEqual(first);
      expect(await run({ seed: 8 })).not.toEqual(first);
      expect(await run({ prompt: "a green boat" })).not.toEqual(first);
    }));

  it("generates image i of a batch as it generates seed + i alone", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const batch = await pipe.generate({ ...bicycle, numImagesPerPrompt: 3 });
      expect(batch.seeds).toEqual([7n, 8n, 9n]);
      for (const [i, image] of batch.images.entries()) {
        const alone = await pipe.generate({ ...bicycle, seed: 7 + i });
        const apart = image.data.filter((v, k) => Math.abs(v - alone.images[0]!.data[k]!) > 1).length;
        expect(apart).toBe(0);
      }
    }));

  it("runs no unconditional pass at guidance 1 or less", () =>
    opened("koala-1b-tiny", async (pipe) => {
      for (const [guidanceScale, rows] of [
        [1, 1],
        [0, 1],
        [1.5, 2],
      ] as const) {
        const { conditioning } = await pipe.prepare({ ...bicycle, guidanceScale });
        expect(conditioning(0).map((group) => group.rows.length)).toEqual([rows]);
      }
    }));

  it("stops at an abort no later than the running network call, and generates again afterwards", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const controller = new AbortController();
      const seen: number[] = [];
      const onStep = ({ index }: { index: number }) => {
        seen.push(index);
        if (index === 1) controller.abort();
      };
      const request = { ...bicycle, numInferenceSteps: 10, signal: controller.signal, onStep };
      await expect(pipe.generate(request)).rejects.toThrow(Cancelled);
      expect(seen).toEqual([0, 1]);
      expect((await pipe.generate(bicycle)).images).toHaveLength(1);
    }));

  it("ends what it generates with Cancelled where it is closed meanwhile", async () => {
    const pipe = await DiffusionPipeline.fromPretrained(folder("koala-1b-tiny"), { threads: 1 });
    let closing: Promise<void> | undefined;
    const onStep = () => void (closing ??= pipe.close());
    await expect(pipe.generate({ ...bicycle, numInferenceSteps: 50, onStep })).rejects.toThrow(Cancelled);
    await closing;
  });

  it("shows an image of where it is going at every step", () =>
    opened("sd2-tiny", async (pipe) => {
      const sizes: number[][] = [];
      for await (const step of pipe.stream({ ...bicycle, width: 72 }))
        sizes.push((await step.preview()).flatMap(({ width, height }) => [width, height]));
      expect(sizes).toEqual([
        [9, 8],
        [9, 8],
      ]);
    }));

  it("generates an image at its size down to multiples of 8, and says so; at another size where that is given", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const image = { width: 77, height: 64, data: new Uint8Array(77 * 64 * 3).fill(90) };
      const { width: _, height: __, ...rest } = bicycle;
      const run = async (change: Partial<GenerateRequest>) => {
        const said: string[] = [];
        const request = { ...rest, image, strength: 0.5, onWarning: (text: string) => void said.push(text) };
        const { width, height } = (await pipe.generate({ ...request, ...change })).images[0]!;
        return { size: [width, height], said };
      };
      const note =
        "image: 77x64 is generated at 72x64, multiples of 8. Give width and height for another size.";
      expect(await run({})).toEqual({ size: [72, 64], said: [note] });
      expect(await run({ width: 80 })).toEqual({ size: [80, 64], said: [] });
    }));

  it("of Stable Diffusion 1, whose projections are 1x1 convolutions, generates as with the same weights in matrices", async () => {
    const parent = await mkdtemp(path.join(tmpdir(), "sd1-"));
    try {
      const at = path.join(parent, "sd1-tiny");
      await cp(folder("sd2-tiny"), at, { recursive: true, dereference: true });
      const config = path.join(at, "unet/config.json");
      const settings = JSON.parse(await readFile(config, "utf8")) as Record<string, unknown>;
      await writeFile(config, JSON.stringify({ ...settings, use_linear_projection: false }));
      await makeConvolutions(path.join(at, "unet/diffusion_pytorch_model.safetensors"));
      const run = async (name: string) =>
        opened(name, async (pipe) => (await pipe.generate(bicycle)).images[0]!.data);
      const [convolved, multiplied] = [await run(at), await run("sd2-tiny")];
      expect(Math.max(...convolved.map((v, i) => Math.abs(v - multiplied[i]!)))).toBeLessThanOrEqual(1);
    } finally {
      await rm(parent, { recursive: true });
    }
  });

  it("takes a scheduler made from another one's config", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const before = (await pipe.prepare(bicycle)).timesteps;
      pipe.scheduler = EulerDiscreteScheduler.fromConfig(pipe.scheduler.config, {
        timestepSpacing: "trailing",
      });
      expect(before).toEqual([501, 1]);
      expect((await pipe.prepare(bicycle)).timesteps).toEqual([999, 499]);
    }));

  it("warns of what is given and has no effect", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const image = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3) };
      const warnings = async (change: Partial<GenerateRequest>) => {
        const said: string[] = [];
        await pipe.prepare({ ...bicycle, ...change, onWarning: (text) => void said.push(text) });
        return said;
      };
      expect(await warnings({ eta: 0.5 })).toEqual([
        "eta: has no effect with EulerDiscreteScheduler, got 0.5",
      ]);
      expect(await warnings({ negativeTargetSize: [1, 2] })).toEqual([
        "negativeTargetSize: has no effect without both negativeOriginalSize and negativeTargetSize.",
      ]);
      expect(await warnings({ image, strength: 0.5, negativeCropsCoordsTopLeft: [1, 2] })).toEqual([
        "negativeCropsCoordsTopLeft: has no effect with image: cropsCoordsTopLeft counts.",
      ]);
      const sizes = { negativeOriginalSize: [1, 2], negativeTargetSize: [3, 4] } as const;
      expect(await warnings({ ...sizes, negativeCropsCoordsTopLeft: [1, 2] })).toEqual([]);
      expect(await warnings({ image, strength: 0.5, ...sizes })).toEqual([]);
      pipe.scheduler = EDMEulerScheduler.fromConfig(pipe.scheduler.config);
      expect(await warnings({})).toEqual([
        expect.stringMatching(
          /^scheduler: EDMEulerScheduler is one of EDM's, and this model was not trained/,
        ),
      ]);
    }));

  it("takes what the model's koala.json recommends where a request leaves it out", async () => {
    const parent = await mkdtemp(path.join(tmpdir(), "defaults-"));
    const at = path.join(parent, "koala-tiny");
    await cp(folder("koala-1b-tiny"), at, { recursive: true, dereference: true });
    const scheduler = { timestep_spacing: "trailing" };
    const defaults = { steps: 4, guidance: 1, width: 72, height: 64, scheduler };
    await writeFile(path.join(at, "koala.json"), JSON.stringify(defaults));
    await opened(at, async (pipe) => {
      const { request, timesteps } = await pipe.prepare({ prompt: "a red bicycle", seed: 7 });
      expect(request).toMatchObject({ numInferenceSteps: 4, guidanceScale: 1, width: 72, height: 64 });
      expect(timesteps).toEqual([999, 749, 499, 249]);
      const given = await pipe.prepare({ ...bicycle, numInferenceSteps: 3 });
      expect(given.request).toMatchObject({ numInferenceSteps: 3, guidanceScale: 3.5, width: 64 });
    });
    await rm(parent, { recursive: true });
  });

  it("records as many steps as there are custom timesteps", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const { images } = await pipe.generate({ ...bicycle, timesteps: [900, 500, 100] });
      expect(images[0]!.metadata).toMatchObject({ timesteps: [900, 500, 100], numInferenceSteps: 3 });
    }));

  it("quotes what a long prompt loses", () =>
    opened("sd2-tiny", async (pipe) => {
      const warnings: string[] = [];
      await pipe.generate({
        ...bicycle,
        prompt: `${"koala ".repeat(100)}moon`,
        onWarning: (m) => warnings.push(m),
      });
      expect(warnings.join()).toMatch(/^prompt: only 77 tokens .*cut off: .*moon"$/);
    }));

  it("calls a negative prompt that it cuts negative, and both encoders' loss one", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const request = { ...bicycle, negativePrompt: `${"koala ".repeat(100)}moon`, onWarning() {} };
      const { warnings, images } = await pipe.generate(request);
      expect(warnings).toEqual([expect.stringMatching(/^negative prompt: only 77 tokens .*moon"$/)]);
      expect(images[0]!.warnings).toEqual(warnings);
    }));

  it("warns once of syntax that it reads as letters, each image of its own prompt's", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const prompt = ["a (cat:1.3)", "a cat (a black one)", "a cat BREAK a dog"];
      const told: string[] = [];
      const request = { ...bicycle, prompt, negativePrompt: "[ugly]", numImagesPerPrompt: 2 };
      const { warnings, images } = await pipe.generate({ ...request, onWarning: (m) => told.push(m) });
      const named = (field: string, text: string) =>
        `${field}: AUTOMATIC1111's syntax is off, so this is read as letters: "${text}". promptSyntax "a1111" reads it.`;
      const negative = named("negative prompt", "[ugly]");
      const [first, third] = [named("prompt", "(cat:1.3)"), named("prompt", "BREAK")];
      expect(images.map((image) => image.warnings)).toEqual([
        [first, negative],
        [first, negative],
        [negative],
        [negative],
        [third, negative],
        [third, negative],
      ]);
      expect(warnings).toEqual([first, third, negative]);
      expect(told).toEqual(warnings);
    }));

  it("composes prompts by AND: two halves of one are the whole, and every one is a row", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const request = { ...bicycle, promptSyntax: "a1111", outputType: "latent", onWarning() {} } as const;
      const latents = async (prompt: string) => (await pipe.generate({ ...request, prompt })).latents;
      const [whole, halves, other] = [
        await latents("a cat"),
        await latents("a cat:0.5 AND a cat :0.5"),
        await latents("a cat AND a dog:-0.5"),
      ];
      const most = Math.max(...whole.map(Math.abs));
      const apart = (of: Float32Array) => Math.max(...whole.map((x, i) => Math.abs(x - of[i]!))) / most;
      expect(apart(halves)).toBeLessThan(1e-4);
      expect(apart(other)).toBeGreaterThan(1e-2);
      const { conditioning } = await pipe.prepare({ ...request, prompt: "a AND b AND c" });
      expect(conditioning(0).flatMap(({ rows }) => rows.map(({ weight }) => weight))).toEqual([
        undefined,
        1,
        1,
        1,
      ]);
    }));

  it("expands dynamic prompts by each image's seed, and records both texts", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const prompt = "a {red|green|blue|black|white} {car|bicycle|boat}";
      const request = {
        ...bicycle,
        prompt,
        dynamicPrompts: true,
        numImagesPerPrompt: 3,
        numInferenceSteps: 1,
      };
      const { images } = await pipe.generate(request);
      const texts = images.map(({ metadata }) => metadata!.prompt);
      expect(new Set(texts).size).toBeGreaterThan(1);
      expect(texts.every((text) => /^a \w+ (car|bicycle|boat)$/.test(text))).toBe(true);
      expect(images[1]!.metadata!.promptTemplate).toBe(prompt);
      const again = await pipe.generate({ ...request, seed: 8, numImagesPerPrompt: 1 });
      expect(again.images[0]!.metadata!.prompt).toBe(texts[1]);
    }));

  it("says that a negative prompt has no effect without guidance", () =>
    opened("sd2-tiny", async (pipe) => {
      const quiet = { ...bicycle, guidanceScale: 1, onWarning() {} };
      const { warnings } = await pipe.generate({ ...quiet, negativePrompt: "(ugly:1.2)" });
      expect(warnings).toEqual(["negative prompt: has no effect at guidance 1, only above 1"]);
      expect((await pipe.generate({ ...quiet, negativePrompt: "" })).warnings).toEqual([]);
    }));

  it("tells what its words are not, where it knows few", async () => {
    const model = await withWords(["bicycle"]);
    const pipe = await DiffusionPipeline.fromPretrained(model.folder, { threads: 1 });
    const { warnings } = await pipe.generate({ ...bicycle, prompt: "a zeppelin", onWarning() {} });
    expect(warnings).toEqual([expect.stringMatching(/^"zeppelin" is not a word this model knows/)]);
    await pipe.close();
    await model.remove();
  });

  it("draws a seed for -1, and generates its image again from what it drew", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const [one, two] = [
        await pipe.generate({ ...bicycle, seed: -1 }),
        await pipe.generate({ ...bicycle, seed: -1n }),
      ];
      expect(one.seeds).not.toEqual(two.seeds);
      const again = await pipe.generate({ ...bicycle, seed: one.seeds![0]! });
      expect(again.images[0]!.data).toEqual(one.images[0]!.data);
    }));
});

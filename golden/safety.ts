/**
 * @file safety/<case>: the safety checker, as Diffusers computed it: an image as the checker sees it, its embedding, its
 * scores, whether it is flagged, and a run of two images of which one is.
 */

import path from "node:path";
import { z } from "zod";
import { floats } from "../src/engine/engine.js";
import { decodeImage } from "../src/image/codec.js";
import type { RgbImage } from "../src/image/pixels.js";
import { clipPixels } from "../src/pipeline/clip-pixels.js";
import { Component } from "../src/pipeline/component.js";
import { DiffusionPipeline } from "../src/pipeline/pipeline.js";
import { checkImages, type SafetyChecker } from "../src/pipeline/safety-checker.js";
import { resolveWeights } from "../src/weights/component.js";
import {
  type Check,
  type Computed,
  type Context,
  type Expectation,
  type Section,
  tensorData,
} from "./conformance/check.js";
import { namesIn, openGolden, readGoldenJson } from "./conformance/golden-file.js";
import { equal, stageTensor } from "./conformance/tolerances.js";
import { requestOf, runSchema } from "./runs/request.js";

const imagesSchema = z.object({
  folder: z.string(),
  images: z.array(
    z.object({
      image: z.string(),
      special_scores: z.array(z.number()),
      concept_scores: z.array(z.number()),
      has_nsfw_concept: z.boolean(),
    }),
  ),
});

const flaggedSchema = z.object({ overrides: z.string(), nsfw_content_detected: z.array(z.boolean()) });

export const safety: Section = async (context) => {
  const folder = path.join(context.folder, "runs/safety");
  const names = await namesIn(folder);
  const at = (name: string) => path.join(folder, name);
  const rows: Check[] = [
    {
      name: "images",
      compute: () => images(folder, context),
      expected: async () => {
        const { images } = imagesSchema.parse(await readGoldenJson(at("images.json")));
        return new Map([
          ...(await tensorsOf(at("images.safetensors"), ["clip_input", "image_embeds"])),
          exactly(
            "special_scores",
            images.flatMap((one) => one.special_scores),
          ),
          exactly(
            "concept_scores",
            images.flatMap((one) => one.concept_scores),
          ),
          exactly(
            "flagged",
            images.map((one) => Number(one.has_nsfw_concept)),
          ),
        ]);
      },
    },
    {
      name: "run",
      compute: () => run(at("run"), context),
      expected: async () => {
        const { nsfw_content_detected: flagged } = flaggedSchema.parse(await readGoldenJson(at("run.json")));
        return new Map([
          ...(await tensorsOf(at("run.safetensors"), ["clip_input", "image_embeds", "unchecked.sample"])),
          exactly("flagged", flagged.map(Number)),
        ]);
      },
    },
  ];
  return rows.filter(({ name }) => names.includes(`${name}.json`));
};

const exactly = (name: string, numbers: readonly number[]): [string, Expectation] => [
  name,
  { tolerance: equal, numbers: tensorData(numbers) },
];

async function tensorsOf(at: string, names: readonly string[]): Promise<[string, Expectation][]> {
  const file = await openGolden(at, () => false);
  return Promise.all(
    names.map(async (name): Promise<[string, Expectation]> => {
      const tolerance = name === "clip_input" ? equal : stageTensor;
      return [name, { tolerance, numbers: await file.expected(name) }];
    }),
  );
}

async function images(folder: string, context: Context): Promise<Computed> {
  const json = imagesSchema.parse(await readGoldenJson(path.join(folder, "images.json")));
  const decoded = await Promise.all(
    json.images.map(async ({ image }) => (await decodeImage(path.join(folder, image))).image),
  );
  const pipeline = await DiffusionPipeline.fromPretrained(await context.layers.complete(json.folder), {
    engine: context.engine,
  });
  try {
    return await checked(pipeline.components.safetyChecker!, decoded);
  } finally {
    await pipeline.close();
  }
}

/** Under the names of the golden files. */
async function checked(
  checker: SafetyChecker,
  images: readonly RgbImage[],
): Promise<Map<string, ReturnType<typeof tensorData>>> {
  const results = await checkImages(checker, images);
  const { imageSize: side } = checker;
  const pixels = images.flatMap((image) => Array.from(clipPixels(image, checker.processor)));
  const embeddings = results.flatMap(({ embedding }) => Array.from(embedding));
  return new Map([
    ["clip_input", floats(Float32Array.from(pixels), images.length, 3, side, side)],
    ["image_embeds", floats(Float32Array.from(embeddings), images.length, embeddings.length / images.length)],
    ["special_scores", tensorData(results.flatMap(({ special }) => special))],
    ["concept_scores", tensorData(results.flatMap(({ concepts }) => concepts))],
    ["flagged", tensorData(results.map(({ flagged }) => Number(flagged)))],
  ]);
}

/** Generated unchecked and then with "blur", by a checker of which three tensors are replaced. */
async function run(at: string, context: Context): Promise<Computed> {
  const json = await readGoldenJson(`${at}.json`);
  const { overrides } = flaggedSchema.parse(json);
  const { why: _, overrides: __, nsfw_content_detected: ___, margin: ____, outputs: _____, ...given } = json;
  const inputs = runSchema.parse(given);
  const pipeline = await DiffusionPipeline.fromPretrained(await context.layers.complete(inputs.folder), {
    engine: context.engine,
  });
  try {
    const own = pipeline.components.safetyChecker!;
    const replaced = await resolveWeights(await context.layers.locate(overrides));
    const { weights } = own.component;
    const tensors = new Map([...weights.tensors, ...replaced.tensors]);
    const both = { ...weights, tensors, files: [...weights.files, ...replaced.files] };
    const component = new Component("safety_checker", "overrides", both, context.engine);
    pipeline.components = { ...pipeline.components, safetyChecker: { ...own, component } };
    const request = () => requestOf(inputs, at, pipeline.components.vae.factor);
    const plain = await pipeline.generate({ ...(await request()), safety: "off" });
    const results = await checked(pipeline.components.safetyChecker!, plain.images);
    const blurred = await pipeline.generate(await request());
    const { width, height } = plain.images[0]!;
    const [h, w] = [height / pipeline.components.vae.factor, width / pipeline.components.vae.factor];
    const size = plain.latents.length / plain.images.length;
    const samples: number[] = [];
    for (const i of plain.images.keys())
      samples.push(...(await pipeline.decode(plain.latents.subarray(i * size, (i + 1) * size), h, w)));
    return new Map([
      ...["clip_input", "image_embeds"].map((name) => [name, results.get(name)!] as const),
      ["unchecked.sample", floats(Float32Array.from(samples), plain.images.length, 3, height, width)],
      ["flagged", tensorData(blurred.images.map(({ flagged }) => Number(flagged)))],
    ]);
  } finally {
    await pipeline.close();
  }
}

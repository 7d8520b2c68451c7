/** @file clip/<name>: a CLIP model's pixels, and its embeddings of images and texts, as transformers computed them. */

import path from "node:path";
import { z } from "zod";
import { floats } from "../src/engine/engine.js";
import { ClipModel } from "../src/evaluate/clip-model.js";
import { cosine } from "../src/evaluate/vectors.js";
import type { RgbImage } from "../src/image/pixels.js";
import { type Check, type Computed, type Context, type Section, tensorData } from "./conformance/check.js";
import { type GoldenFile, namesIn, openGolden } from "./conformance/golden-file.js";
import { addedNoise, stageTensor, textEmbedding } from "./conformance/tolerances.js";

const isInput = (name: string) => /^(image\.\d+|input_ids)$/.test(name);

const tolerances = {
  pixel_values: addedNoise,
  image_embeds: stageTensor,
  text_embeds: textEmbedding,
  cosines: stageTensor,
};

/** A row per file. */
export const clip: Section = async (context) => {
  const folder = path.join(context.folder, "clip");
  const names = (await namesIn(folder)).filter((name) => name.endsWith(".safetensors"));
  return Promise.all(names.map((name) => checkOf(path.join(folder, name), context)));
};

async function checkOf(at: string, { engine }: Context): Promise<Check> {
  const file = await openGolden(at, isInput);
  const model = at.replace(/\.safetensors$/, "");
  return {
    name: path.basename(model),
    compute: async () => {
      const opened = await ClipModel.open(model, engine);
      try {
        return await computed(opened, file);
      } finally {
        await opened.close();
      }
    },
    expected: async () => {
      const rows = Object.entries(tolerances).map(async ([name, tolerance]) => {
        return [name, { tolerance, numbers: await file.expected(name) }] as const;
      });
      return new Map(await Promise.all(rows));
    },
  };
}

async function computed(model: ClipModel, file: GoldenFile): Promise<Computed> {
  const texts = z.array(z.string()).parse(JSON.parse(file.metadata.texts!));
  const images = await Promise.all(
    file.names.filter((n) => n.startsWith("image.")).map((n) => imageOf(file, n)),
  );
  const pixels = images.map((image) => model.pixels(image));
  const [ofImages, ofTexts] = [await model.imageEmbeddings(images), await model.textEmbeddings(texts)];
  const side = model.config.vision.imageSize;
  return new Map([
    ["pixel_values", floats(joined(pixels), pixels.length, 3, side, side)],
    ["image_embeds", floats(joined(ofImages), ofImages.length, model.width)],
    ["text_embeds", floats(joined(ofTexts), ofTexts.length, model.width)],
    [
      "cosines",
      tensorData(
        ofImages.flatMap((i) => ofTexts.map((t) => cosine(i, t))),
        images.length,
        texts.length,
      ),
    ],
  ]);
}

/** [height, width, 3] of bytes */
async function imageOf(file: GoldenFile, name: string): Promise<RgbImage> {
  const { data, shape } = await file.input(name);
  const [height, width] = shape as [number, number, number];
  return { width, height, data: Uint8Array.from(data as ArrayLike<number>) };
}

const joined = (rows: readonly Float32Array[]) => Float32Array.from(rows.flatMap((row) => Array.from(row)));

/** @file attention/<case>: attention maps of a run, as DAAM's conventions make them of Diffusers' U-Net. */

import path from "node:path";
import { z } from "zod";
import { floats } from "../src/engine/engine.js";
import type { AttentionMaps } from "../src/pipeline/attention/maps.js";
import {
  type Check,
  type Computed,
  type Expectation,
  type Section,
  type TensorData,
  tensorData,
} from "./conformance/check.js";
import { namesIn, openGolden, readGoldenJson } from "./conformance/golden-file.js";
import { equal, runTolerance, stageTensor } from "./conformance/tolerances.js";
import { type OpenPipeline, pipelineOpener, requestOf, runSchema } from "./runs/request.js";

/** What the run's file says besides its request. */
const facts = z.object({
  tokens: z.array(z.string()),
  words: z.array(z.object({ word: z.string(), tokens: z.array(z.number()) })),
  overlay_word: z.string(),
  layers: z.record(z.string(), z.object({ grid: z.tuple([z.number(), z.number()]), heads: z.number() })),
});

export const attention: Section = async (context) => {
  const folder = path.join(context.folder, "runs/attention");
  const names = (await namesIn(folder)).filter((name) => name.endsWith(".json"));
  const open = pipelineOpener(context);
  return names.map((file): Check => {
    const at = path.join(folder, path.parse(file).name);
    return { name: path.parse(file).name, compute: () => compute(at, open), expected: () => expected(at) };
  });
};

async function read(at: string) {
  const json = await readGoldenJson(`${at}.json`);
  const inputs = Object.entries(json).filter(([key]) => key in runSchema.shape && key !== "outputs");
  return { inputs: runSchema.parse(Object.fromEntries(inputs)), ...facts.parse(json) };
}

async function compute(at: string, open: OpenPipeline): Promise<Computed> {
  const { inputs, overlay_word } = await read(at);
  const pipeline = await open(inputs);
  const request = await requestOf(inputs, at, pipeline.components.vae.factor);
  const { attentionMaps, latents } = await pipeline.generate({ ...request, attentionMaps: true });
  const [maps] = attentionMaps as [AttentionMaps];
  const { height, width, tokens, words, layers } = maps;
  const of = (data: Float32Array): TensorData => floats(data, data.length / (height * width), height, width);
  const means = maps.tokenMaps();
  const pairs = layers
    .filter(({ path }) => !path.startsWith("mid_block"))
    .reduce((sum, { heads }) => sum + heads, 0);
  const word = words.findIndex((one) => one.word === overlay_word);
  const [h, w] = [height, width].map((side) => side * pipeline.components.vae.factor) as [number, number];
  return new Map<string, TensorData | string>([
    ["tokens", JSON.stringify(tokens)],
    ["words", JSON.stringify(words)],
    [
      "layers",
      JSON.stringify(layers.map(({ path, ...own }) => [path, own.heads, own.height, own.width]).sort()),
    ],
    ...layers.map(
      ({ path, heads, data, ...own }) =>
        [`layer.${path}`, floats(data, heads, tokens.length, own.height, own.width)] as const,
    ),
    ["maps", of(means)],
    ["maps_sum", of(means.map((x) => x * pairs))],
    ["maps_with_mid_block", of(maps.tokenMaps({ midBlock: true }))],
    ["maps_normalised", of(maps.normalizedMaps())],
    ["word_maps", of(maps.wordMaps())],
    ["overlay.0", tensorData(maps.heatMap(word, { height: h, width: w }), h, w)],
    ["final_latents", floats(latents, 1, latents.length / (height * width), height, width)],
  ]);
}

async function expected(at: string): Promise<Map<string, Expectation>> {
  const { tokens, words, layers } = await read(at);
  const file = await openGolden(`${at}.safetensors`, () => false);
  const listed = Object.entries(layers).map(([path, { grid, heads }]) => [path, heads, ...grid]);
  const texts = { tokens, words, layers: listed.sort() };
  const tensors = await Promise.all(
    file.names
      .filter((name) => name !== "maps_all_77") // of padding too, which is not kept
      .map(async (name): Promise<[string, Expectation]> => {
        const numbers = await file.expected(name);
        const tolerance =
          name === "final_latents" ? runTolerance(name, numbers, { fromRgbImage: false }) : stageTensor;
        return [name, { tolerance, numbers }];
      }),
  );
  return new Map([
    ...Object.entries(texts).map(([name, value]): [string, Expectation] => [
      name,
      { tolerance: equal, text: JSON.stringify(value) },
    ]),
    ...tensors,
  ]);
}

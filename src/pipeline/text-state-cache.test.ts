/** @file The cache of text states: its bound, and that what was encoded is not encoded again. */

import { expect, it } from "vitest";
import { cpu } from "../engine/device.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { loadComponents } from "./components.js";
import { encodeConditions } from "./prompt-encoding.js";
import type { CheckedRequest } from "./request.js";
import { planTexts } from "./text-plan.js";
import { stateKey, TextStateCache } from "./text-state-cache.js";
import { Warnings } from "./warnings.js";

const row = (bytes: number) => {
  const state = new Float32Array(bytes / 4);
  return { skipped: state, plain: state, pooled: new Float32Array(0) };
};

it("keeps the last used within its bound; equal arrays count once", () => {
  const cache = new TextStateCache(1000);
  for (const key of ["a", "b"]) cache.set(key, row(400));
  cache.get("a");
  cache.set("c", row(400));
  expect(["a", "b", "c"].map((key) => cache.get(key) !== undefined)).toEqual([true, false, true]);
  cache.set("large", row(2000));
  expect(["a", "c", "large"].map((key) => cache.get(key))).toEqual([undefined, undefined, undefined]);
});

it("tells apart what states depend on besides the ids", () => {
  const how = { rule: "normed", clipSkip: 0, pooling: "config" };
  const keys = [
    stateKey([1, 23], how, cpu),
    stateKey([12, 3], how, cpu),
    stateKey([1, 23], { ...how, clipSkip: 1 }, cpu),
    stateKey([1, 23], { ...how, pooling: "end" }, cpu),
    stateKey([1, 23], how, { ...cpu, weights: "int8" }),
  ];
  expect(new Set(keys).size).toBe(keys.length);
});

const folder = new URL("../../golden/data/pipelines/koala-700m-tiny", import.meta.url).pathname;

it("texts that were encoded before load no encoder, and have the same states beside other texts", async () => {
  const engine = blockingEngine({ threads: 1 });
  const { textEncoders } = await loadComponents(folder, { engine });
  const loaded: string[] = [];
  const encoded = async (
    encoders: typeof textEncoders,
    prompt: string,
    more: Partial<CheckedRequest> = {},
  ) => {
    const request = {
      ...{
        compositions: [[{ text: prompt, weight: 1 }]],
        prompts: [prompt],
        prompts2: [prompt],
        guided: true,
        promptSyntax: "none",
        longPrompts: "cut",
      },
      ...{ negativePrompts: ["dull"], negativePrompts2: ["dull"], warnings: new Warnings(), ...more },
    } as unknown as CheckedRequest;
    const plan = planTexts(request, { encoders, calls: 1, zeros: () => false });
    const { prompts, negatives } = await encodeConditions(plan, request, {
      ...{ encoders, rule: "penultimate", pooling: "config", pooled: true, timeIds: undefined },
      loaded: async ({ name }) => void loaded.push(name),
    });
    return [prompts[0]![0]!, negatives![0]!].map((one) => one.at(0));
  };
  const first = await encoded(textEncoders, "a red bicycle");
  expect(loaded).toEqual(["text_encoder", "text_encoder_2"]);
  expect(await encoded(textEncoders, "a red bicycle")).toEqual(first);
  expect(loaded).toHaveLength(2);
  // The negative prompt is known, so that the prompt is encoded alone: in other company than an encoder that knows none.
  const [, known] = [await encoded(textEncoders, "a blue car"), loaded.length];
  expect(known).toBe(4);
  const fresh = textEncoders.map((encoder) => ({ ...encoder }));
  expect(await encoded(fresh, "a blue car")).toEqual(await encoded(textEncoders, "a blue car"));
  await encoded(textEncoders, "a blue car", { clipSkip: 1 });
  expect(loaded).toHaveLength(8);
});

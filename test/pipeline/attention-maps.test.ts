/** @file Attention maps of requests: that images are the same with them, and whose maps they are. `golden/attention.ts` has the numbers. */

import { describe, expect, it } from "vitest";
import { cpu } from "../../src/engine/device.js";
import type { GenerateResult } from "../../src/pipeline/generate-result.js";
import { estimateMemory } from "../../src/pipeline/memory-estimate.js";
import type { GenerateRequest } from "../../src/pipeline/request.js";
import { bicycle, opened } from "./opened.js";

const pixels = { width: 64, height: 64, data: Uint8Array.from({ length: 3 * 64 * 64 }, (_, i) => i % 251) };
const mask = { ...pixels, data: pixels.data.map((_, i) => (i < 6000 ? 255 : 0)) };
const prompts = ["a red bicycle beside a yellow wall", "A koala"];
/** Prompts of two chunks go through the U-Net apart from negative prompts of one, and the other way round. */
const long = "blurry, ".repeat(50);

const requests: [string, Record<string, GenerateRequest>][] = [
  [
    "koala-1b-tiny",
    {
      "two prompts": { ...bicycle, prompt: prompts, numImagesPerPrompt: 2 },
      "an image": { ...bicycle, image: pixels, strength: 0.9 },
    },
  ],
  [
    "sd2-tiny",
    {
      "a mask": { ...bicycle, image: pixels, mask, strength: 1 },
      "no guidance": { ...bicycle, guidanceScale: 1 },
      "a longer negative": { ...bicycle, negativePrompt: long, longPrompts: "chunks" },
      "a longer prompt": { ...bicycle, prompt: long, longPrompts: "chunks" },
    },
  ],
];

describe("attention maps", () => {
  it.each(requests)(
    "leave the images of %s as they are, to the bit, also with an image or a mask",
    (model, cases) =>
      opened(model, async (pipe) => {
        const plain = new Map<string, GenerateResult>();
        for (const [name, request] of Object.entries(cases)) plain.set(name, await pipe.generate(request));
        for (const [name, request] of Object.entries(cases)) {
          const { attentionMaps, latents, images } = await pipe.generate({ ...request, attentionMaps: true });
          const wanted = plain.get(name)!;
          expect(latents, name).toEqual(wanted.latents);
          expect(images.map(({ data }) => data)).toEqual(wanted.images.map(({ data }) => data));
          expect(wanted.attentionMaps).toBeUndefined();
          expect(attentionMaps).toHaveLength(images.length);
          for (const { words } of attentionMaps!) expect(words.length).toBeGreaterThan(1);
        }
      }),
  );

  it("are each image's own, and the sum of each step's", () =>
    opened("koala-1b-tiny", async (pipe) => {
      const batch = { ...bicycle, prompt: prompts, attentionMaps: "steps" } as const;
      const [first, second] = (await pipe.generate(batch)).attentionMaps!;
      const warnings: string[] = [];
      const other = { prompt2: "a dog", onWarning: (message: string) => warnings.push(message) };
      await pipe.generate({ ...bicycle, ...other, attentionMaps: true });
      expect(warnings.join()).toContain(
        "attentionMaps: tokens and words are those of prompt, not of prompt2.",
      );
      const alone = await pipe.generate({ ...bicycle, prompt: prompts[1]!, seed: 8, attentionMaps: true });
      expect(second!.words.map(({ word }) => word)).toEqual(["A", "koala"]);
      const [wanted, got] = [alone.attentionMaps![0]!.tokenMaps(), second!.tokenMaps()];
      expect(got.length).toBe(wanted.length);
      for (const [i, x] of wanted.entries()) expect(got[i]).toBeCloseTo(x, 5);
      const summed = first!.layers[3]!.data.map((_, i) =>
        first!.steps.reduce((sum, { layers }) => Math.fround(sum + layers[3]!.data[i]!), 0),
      );
      expect(first!.steps).toHaveLength(2);
      expect(first!.layers[3]!.data).toEqual(summed);
      const [layer] = first!.layers.map(({ path }) => path);
      expect(first!.tokenMaps({ layers: [layer!] })).not.toEqual(first!.tokenMaps());
      expect(() => first!.tokenMaps({ layers: ["up"] })).toThrow(/^layers: must name layers of down_blocks/);
      expect(() => first!.heatMap(99, pixels)).toThrow("word: must be the index of a word, from 0 to 6");
    }));

  it("are counted in the memory that a run is predicted to take", () =>
    opened("sd2-tiny", async ({ components }) => {
      const size = { width: 512, height: 512, batch: 1, passes: 2, encodes: false };
      const bytes = (attention?: { rows: number; tokens: number; calls: number }) =>
        estimateMemory(components, { ...size, ...(attention && { attention }) }, cpu).kept;
      const [plain, summed, kept] = [
        bytes(),
        bytes({ rows: 1, tokens: 20, calls: 0 }),
        bytes({ rows: 1, tokens: 20, calls: 10 }),
      ];
      expect(summed).toBeGreaterThan(plain);
      expect((kept - summed) / 10).toBeGreaterThan(64 * 64 * 20 * 4); // at least one map of the latents' size a step
    }));

  it("are refused for prompts that are not one text in all steps, and for other values", () =>
    opened("sd2-tiny", async (pipe) => {
      const ask = (prompt: string, attentionMaps: unknown = true) =>
        pipe.generate({ ...bicycle, prompt, promptSyntax: "a1111", attentionMaps } as GenerateRequest);
      await expect(ask("a cat AND a dog")).rejects.toThrow(
        "attentionMaps: needs prompts that are one text in all steps, got one composed by AND.",
      );
      await expect(ask("a [cat:dog:0.5]")).rejects.toThrow("got one that changes during the run");
      await expect(ask("a cat", "all")).rejects.toThrow('attentionMaps: must be "steps", got "all".');
    }));
});

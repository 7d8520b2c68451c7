/** @file Textual inversions in a pipeline: what is refused by name, and that prompts without one are not changed. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { writeSafetensors } from "../weights/safetensors-file.js";
import type { Embedding } from "./embeddings.js";
import { DiffusionPipeline } from "./pipeline.js";

const golden = new URL("../../golden/data", import.meta.url).pathname;
const model = path.join(golden, "pipelines/koala-1b-tiny");
const embedding = (name: string) => path.join(golden, "embeddings", `${name}.safetensors`);
const scratch = mkdtempSync(path.join(tmpdir(), "koala-embeddings-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const engine = blockingEngine({ threads: 1 });
const opened = (...embeddings: Embedding[]) =>
  DiffusionPipeline.fromPretrained(model, { engine, embeddings });
const badmix = embedding("koala-1b-tiny-badmix");

describe("an embedding", () => {
  it.each([
    [
      "of another model's widths",
      { file: embedding("sdxl-tiny-badmix") },
      /must hold vectors of the model's widths, 32 of text_encoder and 40 of text_encoder_2, got "clip_g \[4, 32\]", "clip_l \[4, 24\]"/,
    ],
    [
      "of one encoder of two",
      { file: embedding("sd2-tiny-moss-glow") },
      /must hold vectors of the model's widths/,
    ],
    [
      "that is called as a word of the vocabulary",
      { file: badmix, token: "a</w>" },
      /^embeddings: token: must not be in the model's vocabulary/,
    ],
    ["of two words", { file: badmix, token: "bad mix" }, /^embeddings: token: must be one word/],
    ["without a file", { file: path.join(scratch, "none.safetensors") }, /none\.safetensors/],
  ])("%s is refused by its name", async (_, given, message) => {
    await expect(opened(given)).rejects.toThrow(message);
  });

  it("that is given twice is refused", async () => {
    await expect(opened({ file: badmix }, { file: badmix })).rejects.toThrow(
      'must be given once, got "koala-1b-tiny-badmix" twice',
    );
  });

  it("with NaN is refused when the model is opened", async () => {
    const file = path.join(scratch, "nan.safetensors");
    const tensor = (width: number) => ({
      dtype: "F32" as const,
      shape: [1, width],
      data: new Float32Array(width).fill(Number.NaN),
    });
    await writeSafetensors(
      file,
      new Map([
        ["clip_l", tensor(32)],
        ["clip_g", tensor(40)],
      ]),
    );
    await expect(opened({ file })).rejects.toThrow(
      /nan\.safetensors: clip_l: must hold finite numbers, got NaN/,
    );
  });

  it("changes no image whose prompts do not name it", async () => {
    const request = { prompt: "a red bicycle", width: 64, height: 64, numInferenceSteps: 1, seed: 3 };
    const images = [];
    for (const pipe of [await opened(), await opened({ file: badmix, token: "badmix" })])
      images.push((await pipe.generate(request)).images[0]!.data);
    expect(images[1]).toEqual(images[0]);
  });

  it("is in the record of an image whose prompts name it, by token, name and hash, and in no other's", async () => {
    const pipe = await opened({ file: badmix, token: "badmix" });
    const request = { width: 64, height: 64, numInferenceSteps: 1, seed: 3, guidanceScale: 3 };
    const recorded = async (prompt: string, negativePrompt: string) =>
      (await pipe.generate({ ...request, prompt, negativePrompt })).images[0]!.metadata!.model.embeddings;
    const entry = { token: "badmix", name: "koala-1b-tiny-badmix.safetensors" };
    const sha256 = expect.stringMatching(/^sha256:[0-9a-f]{64}$/);
    expect(await recorded("a cat", "badmix")).toEqual([{ ...entry, sha256 }]);
    expect(await recorded("a cat", "a dog")).toBeUndefined();
  });
});

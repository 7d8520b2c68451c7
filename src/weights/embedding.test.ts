/** @file Files of textual inversion: the forms that are read, and what is refused by name. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openEmbedding, readVectors } from "./embedding.js";
import { writeSafetensors } from "./safetensors-file.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-embedding-"));
afterAll(() => rmSync(scratch, { recursive: true }));

async function written(
  tensors: Record<string, readonly number[]>,
  name = "moss.safetensors",
): Promise<string> {
  const file = path.join(scratch, name);
  const made = Object.entries(tensors).map(([key, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return [key, { dtype: "F32" as const, shape, data: new Float32Array(size).fill(0.5) }] as const;
  });
  await writeSafetensors(file, new Map(made));
  return file;
}

describe("an embedding file", () => {
  it.each([
    ["AUTOMATIC1111's form", { emb_params: [2, 8] }, "moss", ["only"]],
    ["Diffusers' form", { "<cat-toy>": [8] }, "<cat-toy>", ["only"]],
    ["SDXL's form", { clip_l: [2, 8], clip_g: [2, 12] }, "moss", ["text_encoder_2", "text_encoder"]],
    [
      "a trainer's form",
      { text_encoders_0: [1, 8], text_encoders_1: [1, 12] },
      "moss",
      ["text_encoder", "text_encoder_2"],
    ],
    [
      "a LoRA that bundles one",
      { "bundle_emb.fox.clip_l": [1, 8], "unet.a.lora_A.weight": [1, 8] },
      "fox",
      ["text_encoder"],
    ],
  ])("of %s is read", async (_, tensors, token, encoders) => {
    const opened = await openEmbedding(await written(tensors));
    expect(opened.token).toBe(token);
    expect([...opened.tensors.keys()].sort()).toEqual([...encoders].sort());
  });

  it("of a LoRA that bundles two is read by the token's name", async () => {
    const file = await written({ "bundle_emb.fox.clip_l": [1, 8], "bundle_emb.owl.clip_l": [1, 8] });
    expect((await openEmbedding(file, "owl")).token).toBe("owl");
    await expect(openEmbedding(file)).rejects.toThrow(
      'must hold the embedding alone, got "fox", "owl". Name one',
    );
    await expect(openEmbedding(file, "cat")).rejects.toThrow('must hold the embedding "cat"');
  });

  it.each([
    [
      "layers of a LoRA",
      { "lora_unet_x.lora_down.weight": [1, 8], "lora_unet_x.lora_up.weight": [8, 1] },
      /must hold the vectors of one token.* It is an adapter, such as a LoRA. Give it as --lora/,
    ],
    ["two tokens", { a: [1, 8], b: [1, 8] }, /must hold the vectors of one token/],
    ["one encoder twice", { clip_l: [1, 8], text_encoders_0: [1, 8] }, /must have one tensor for an encoder/],
    [
      "a tensor of three dimensions",
      { a: [1, 2, 8] },
      /a: must be vectors \[n, width\] of a float dtype, got F32 \[1, 2, 8\]/,
    ],
    ["nothing", {}, /got nothing/],
  ])("with %s is refused", async (_, tensors, message) => {
    await expect(openEmbedding(await written(tensors))).rejects.toThrow(message);
  });

  it("that runs code when read is refused by its name", async () => {
    const file = path.join(scratch, "moss.pt");
    writeFileSync(file, "PK");
    await expect(openEmbedding(file)).rejects.toThrow("must be a .safetensors file, got a pickle checkpoint");
  });

  it("with NaN is refused where its numbers are read", async () => {
    const file = path.join(scratch, "nan.safetensors");
    const data = Float32Array.of(1, Number.NaN);
    await writeSafetensors(file, new Map([["emb_params", { dtype: "F32" as const, shape: [1, 2], data }]]));
    const { tensors } = await openEmbedding(file);
    await expect(readVectors(tensors.get("only")!)).rejects.toThrow(
      "emb_params: must hold finite numbers, got NaN",
    );
  });
});

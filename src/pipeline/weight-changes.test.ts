/** @file What adapters of several kinds do to a weight, by closed forms; their goldens are in golden/data/adapters. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { resolveWeights } from "../weights/component.js";
import { viewStored } from "../weights/dtype.js";
import { writeSafetensors } from "../weights/safetensors-file.js";
import { type Lora, loraChanges } from "./lora.js";
import { changedWeights } from "./weight-changes.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-changes-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const engine = blockingEngine({ threads: 1 });

let files = 0;
type Made = Record<string, { shape: number[]; data: number[] }>;
async function written(tensors: Made): Promise<string> {
  const file = path.join(scratch, `${files++}.safetensors`);
  const all = Object.entries(tensors).map(
    ([name, { shape, data }]) =>
      [name, { dtype: "F32" as const, shape, data: Float32Array.from(data) }] as const,
  );
  await writeSafetensors(file, new Map(all));
  return file;
}
const tensor = (shape: number[], ...data: number[]) => ({ shape, data });

const model = {
  "a.weight": tensor([2, 2], 1, 2, 3, 4),
  "a.bias": tensor([2], 10, 20),
  "b.weight": tensor([2, 2], 1, 0, 0, 1),
};
const lora = {
  "unet.a.lora_A.weight": tensor([1, 2], 1, 2),
  "unet.a.lora_B.weight": tensor([2, 1], 3, 4),
  "unet.a.alpha": tensor([1], 0.5),
};

/** A weight of the model after `loras`. */
async function after(name: string, ...loras: Lora[]): Promise<number[]> {
  const weights = await resolveWeights(await written(model));
  const changes = await loraChanges(loras, [{ name: "unet", weights }], () => {});
  const { data, dtype } = (await changedWeights(weights, changes.get("unet")!, engine)).get(name)!;
  return [...(viewStored(data, dtype) as Float32Array)];
}

describe("a changed weight", () => {
  it("and its bias get PEFT's lora_bias times alpha / rank and the strength", async () => {
    const file = await written({ ...lora, "unet.a.lora_B.bias": tensor([2], 8, -8) });
    expect(await after("a.weight", { file, scale: 2 })).toEqual([4, 8, 7, 12]);
    expect(await after("a.bias", { file, scale: 2 })).toEqual([18, 12]);
  });

  it("of two files of different kinds has both changes", async () => {
    const full = await written({ "lora_unet_a.diff": tensor([2, 2], 1, 1, 1, 1) });
    const changed = await after("a.weight", { file: await written(lora) }, { file: full, scale: 10 });
    expect(changed).toEqual([12.5, 15, 15, 18]);
  });

  it("has PEFT's magnitude after the strength, and a trainer's before it", async () => {
    // Rows (1, 0) + s (3, 4) * 1 ... of length 5 at s = 1: (0.6, 0.8) and (0.8, 0.6)
    const change = {
      "unet.b.lora_A.weight": tensor([2, 2], 1, 0, 0, 1),
      "unet.b.lora_B.weight": tensor([2, 2], 2, 4, 4, 2),
    };
    const peft = await written({ ...change, "unet.b.lora_magnitude_vector.weight": tensor([2], 5, 10) });
    const trainer = await written({ ...change, "unet.b.dora_scale": tensor([2, 1], 5, 10) });
    const close = (wanted: number[]) => wanted.map((x) => expect.closeTo(x, 5));
    expect(await after("b.weight", { file: peft })).toEqual(close([3, 4, 8, 6]));
    expect(await after("b.weight", { file: trainer })).toEqual(close([3, 4, 8, 6]));
    expect(await after("b.weight", { file: trainer, scale: 0.5 })).toEqual(close([2, 2, 4, 3.5]));
    // At half strength V is (2, 2) and (2, 2).
    const [low, high] = [5 / Math.SQRT2, 10 / Math.SQRT2];
    expect(await after("b.weight", { file: peft, scale: 0.5 })).toEqual(close([low, low, high, high]));
  });

  it.each([
    [
      "a bias of a layer without one",
      { "lora_unet_b.diff_b": tensor([2], 1, 1) },
      /must change a bias, got a layer without one: b\.weight/,
    ],
    [
      "a bias of another length",
      { "lora_unet_a.diff_b": tensor([3], 1, 1, 1) },
      /must fit a\.bias of \[2\], got \[3\]/,
    ],
    [
      "a difference of another shape",
      { "lora_unet_a.diff": tensor([2, 1], 1, 1) },
      /must fit a\.weight of \[2, 2\], got diff \[2, 1\]/,
    ],
    [
      "a magnitude of another length",
      { ...lora, "unet.a.dora_scale": tensor([3, 1], 1, 1, 1) },
      /must fit a\.weight of \[2, 2\], got .*magnitude \[3, 1\]/,
    ],
    [
      "NaN",
      { "lora_unet_a.diff": tensor([2, 2], 1, 1, 1, Number.NaN) },
      /must hold finite numbers, got NaN for a\.weight/,
    ],
  ])("is not made by %s", async (_, tensors, message) => {
    await expect(after("a.weight", { file: await written(tensors as Made) })).rejects.toThrow(message);
  });
});

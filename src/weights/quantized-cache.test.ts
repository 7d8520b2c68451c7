/** @file The cache of quantised weights: made once, bounded, never half. */

import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeFolder } from "../files/file-system.js";
import { cachedWeights, quantizedFiles, quantizedFolder, removeQuantized } from "./quantized-cache.js";
import { writeInAnyOrder } from "./safetensors-file.js";

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), "koala-quantised-"))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const layouts = new Map([
  ["w", { dtype: "U8" as const, shape: [2, 1, 16] }],
  ["w.scales", { dtype: "F32" as const, shape: [2, 1] }],
]);
async function* tensors() {
  yield ["w", new Uint8Array(32).fill(9)] as const;
  yield ["w.scales", Float32Array.of(1, 2)] as const;
}
const write = (file: string) =>
  writeInAnyOrder(file, layouts, tensors(), { network: "unet", sources: '["/models/a.safetensors"]' });
const names = () => readdirSync(folder).sort();

it("what was made is not made again", async () => {
  const made: string[] = [];
  const once = async (file: string) => {
    made.push(file);
    await write(file);
  };
  const first = await cachedWeights("unet-1", once, { folder });
  const second = await cachedWeights("unet-1", once, { folder });
  expect(made).toEqual([path.join(folder, "unet-1.safetensors")]);
  expect(second.tensors).toEqual(first.tensors);
  expect(first.tensors.get("w")).toMatchObject({ dtype: "U8", shape: [2, 1, 16], length: 32 });
});

it("lists what it holds, the last used first, and removes it", async () => {
  for (const name of ["unet-1", "unet-2"]) await cachedWeights(name, write, { folder });
  utimesSync(path.join(folder, "unet-1.safetensors"), 1000, 1000);
  const files = await quantizedFiles(folder);
  expect(files.map(({ file }) => path.basename(file))).toEqual(["unet-2.safetensors", "unet-1.safetensors"]);
  expect(files[0]).toMatchObject({ network: "unet", sources: ["/models/a.safetensors"] });
  expect(await removeQuantized(folder)).toBe(2 * files[0]!.bytes);
  expect(existsSync(folder)).toBe(false);
  expect(await quantizedFiles(folder)).toEqual([]);
});

it("beyond its bound removes what was used least recently, and never what is asked for", async () => {
  for (const [i, name] of ["a", "b"].entries()) {
    await cachedWeights(name, write, { folder });
    utimesSync(path.join(folder, `${name}.safetensors`), 1000 + i, 1000 + i);
  }
  await cachedWeights("a", write, { folder }); // is now the younger one
  const [{ bytes } = { bytes: 0 }] = await quantizedFiles(folder);
  await cachedWeights("c", write, { folder, most: 2 * bytes });
  expect(names()).toEqual(["a.safetensors", "c.safetensors"]);
  await cachedWeights("d", write, { folder, most: 1 });
  expect(names()).toEqual(["d.safetensors"]);
});

it("holds nothing of weights whose making failed, and clears what a killed process left", async () => {
  const failing = (file: string) =>
    writeInAnyOrder(
      file,
      layouts,
      (async function* () {
        yield ["w", new Uint8Array(32)] as const;
        throw new Error("the disk is full");
      })(),
      {},
    );
  await expect(cachedWeights("unet-1", failing, { folder })).rejects.toThrow("the disk is full");
  expect(names()).toEqual([]);
  const left = path.join(folder, "x.safetensors.0b8e3a52-7a70-4a0e-a9a9-d4a5b41c6a11.partial");
  await makeFolder(folder);
  writeFileSync(left, "half");
  await cachedWeights("unet-1", write, { folder });
  expect(existsSync(left)).toBe(true); // of a process that may be writing it
  utimesSync(left, 1000, 1000);
  await cachedWeights("unet-2", write, { folder });
  expect(existsSync(left)).toBe(false);
  expect(await quantizedFiles(folder)).toHaveLength(2);
});

it("a tensor that was not written is no silent zero", async () => {
  const file = path.join(folder, "half.safetensors");
  const none = (async function* () {})();
  await expect(writeInAnyOrder(file, layouts, none, {})).rejects.toThrow(/nothing was written of "w"/);
  expect(names()).toEqual([]);
});

it("is refused to a user without a folder for it", () => {
  expect(quantizedFolder("/caches/koala-diffusion")).toBe("/caches/koala-diffusion/weights");
});

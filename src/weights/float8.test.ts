/** @file Eight-bit floats against PyTorch's widening of all 256 codes (golden/data/single/float8.safetensors). */
import { expect, it } from "vitest";
import { openSafetensors } from "./safetensors-file.js";

const table = new URL("../../golden/data/single/float8.safetensors", import.meta.url).pathname;

it.each([
  ["float8_e4m3fn", "F8_E4M3"],
  ["float8_e5m2", "F8_E5M2"],
])("all 256 codes of %s are widened as PyTorch widens them", async (name, dtype) => {
  const file = await openSafetensors(table);
  expect(file.tensors.get(name)?.dtype).toBe(dtype);
  expect([...(await file.read(name))]).toEqual([...Array(256).keys()]);
  const [ours, theirs] = [await file.readFloats(name), await file.readFloats(`${name}.float32`)];
  // `Object.is` tells -0 from 0 and takes NaN for NaN.
  expect([...ours].findIndex((value, code) => !Object.is(value, theirs[code]))).toBe(-1);
});

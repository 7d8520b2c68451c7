/** @file Changes one number or text of golden data, for tests that the conformance tool reports it. */

import { readFile, writeFile } from "node:fs/promises";
import { parseHeader } from "../src/weights/safetensors.js";

/** Adds a hundredth of the largest magnitude to one number of a tensor; much more to an image, of which all count. */
export async function change(file: string, name: string): Promise<void> {
  const bytes = await readFile(file);
  const { dtype, offset, length } = parseHeader(bytes, bytes.length, file).tensors.get(name)!;
  const values = new Uint8Array(bytes.subarray(offset, offset + length)).buffer;
  const numbers = dtype === "F64" ? new Float64Array(values) : new Float32Array(values);
  const most = Math.max(...Array.from(numbers, Math.abs));
  const middle = numbers.length >> 1;
  numbers[middle] = numbers[middle]! + (name === "image" ? 10 : most / 100);
  bytes.set(new Uint8Array(values), offset);
  await writeFile(file, bytes);
}

/** The same number of bytes, so that a header stays whole. */
export async function replace(file: string, from: string, to: string): Promise<void> {
  const bytes = await readFile(file);
  const index = bytes.indexOf(from);
  if (index < 0 || from.length !== to.length) throw new Error(`internal: ${from} is not in ${file}`);
  bytes.write(to, index);
  await writeFile(file, bytes);
}

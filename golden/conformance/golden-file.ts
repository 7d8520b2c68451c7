/** @file Reads golden folders. A file that holds inputs and expectations is opened so that the two cannot be mixed up. */

import { readdir } from "node:fs/promises";
import path from "node:path";
import { kindOf, readText } from "../../src/files/file-system.js";
import { type JsonObject, parseJsonObject } from "../../src/files/json.js";
import { openSafetensors } from "../../src/weights/safetensors-file.js";
import type { TensorData } from "./check.js";

/** A safetensors file of which some tensors are inputs. Names and shapes are known at once, numbers are read on demand. */
export type GoldenFile = {
  readonly names: readonly string[];
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Texts in the file's header, such as seeds: inputs. */
  readonly metadata: Readonly<Record<string, string>>;
  /** An input's numbers; refuses a tensor that is an expectation. */
  input(name: string): Promise<TensorData>;
  /** An expectation's numbers: to be called when all is computed. */
  expected(name: string): Promise<TensorData>;
};

/** Opens a file whose inputs are those that `isInput` says. */
export async function openGolden(file: string, isInput: (name: string) => boolean): Promise<GoldenFile> {
  const opened = await openSafetensors(file);
  const numbers = async (name: string): Promise<TensorData> => {
    const entry = opened.tensors.get(name);
    const half = entry?.dtype === "F16" || entry?.dtype === "BF16";
    return {
      data: half ? await opened.readFloats(name) : await opened.read(name),
      shape: entry?.shape ?? [],
    };
  };
  return {
    names: [...opened.tensors.keys()],
    shapes: new Map([...opened.tensors].map(([name, { shape }]) => [name, shape])),
    metadata: opened.metadata,
    input: async (name) => {
      if (!isInput(name)) throw new Error(`internal: ${name} is an expectation, read while computing`);
      return numbers(name);
    },
    expected: numbers,
  };
}

/** An input of float32 numbers. */
export async function floatInput(
  file: GoldenFile,
  name: string,
): Promise<{ data: Float32Array; shape: number[] }> {
  const { data, shape } = await file.input(name);
  if (!(data instanceof Float32Array)) throw new Error(`${name}: must be float32 as an input`);
  return { data, shape: [...shape] };
}

/** Parsed JSON, in which seeds are strings: they have up to 64 bits, and a JavaScript number has 53. */
export async function readGoldenJson(file: string): Promise<JsonObject> {
  const text = await readText(file);
  const quoted = text
    .replace(/"(seed|generator_seed)":\s*(-?\d+)/g, '"$1": "$2"')
    .replace(
      /"seeds":\s*\[([^\]]*)\]/g,
      (_, seeds: string) => `"seeds": [${seeds.replace(/-?\d+/g, '"$&"')}]`,
    );
  return parseJsonObject(new TextEncoder().encode(quoted), file);
}

/** The names in a folder, sorted; none if there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await kindOf(folder)) === "folder" ? (await readdir(folder)).sort() : [];
}

/** Whether one of two files that belong together is there; throws if the other one is not. */
export async function bothOrNeither(folder: string, ...names: [string, string]): Promise<boolean> {
  const there = await Promise.all(names.map((name) => kindOf(path.join(folder, name))));
  if (there.every((kind) => kind === undefined)) return false;
  const missing = names.filter((_, i) => there[i] === undefined);
  if (missing.length === 0) return true;
  throw new Error(
    `inputs absent: ${missing.join()} must be beside ${names.find((n) => !missing.includes(n))}`,
  );
}

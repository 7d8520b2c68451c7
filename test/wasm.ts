/** @file `npm run wasm`: compiles the WebAssembly of src, so that a build needs no compiler but TypeScript's. */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import wabt from "wabt";

const file = (name: string) => fileURLToPath(new URL(`../src/train/vectors/${name}`, import.meta.url));

/** The module of vectors.wat as the text of binary.ts. */
export async function vectorsBinary(): Promise<string> {
  const { parseWat } = await wabt();
  const module = parseWat("vectors.wat", readFileSync(file("vectors.wat"), "utf8"), { simd: true });
  const { buffer } = module.toBinary({});
  const lines = Buffer.from(buffer)
    .toString("base64")
    .match(/.{1,96}/g)!;
  return [
    "/** @file vectors.wat, compiled by `npm run wasm`. */",
    "",
    "/** Base64. */",
    "export const vectorsBinary = [",
    ...lines.map((line) => `  "${line}",`),
    '].join("");',
    "",
  ].join("\n");
}

export const binaryFile = file("binary.ts");

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(binaryFile, await vectorsBinary());

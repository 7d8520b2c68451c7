/** @file The compiled WebAssembly in src is that of its source. */

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { binaryFile, vectorsBinary } from "../wasm.js";

it("vectors.wat is compiled; if not: npm run wasm", async () => {
  expect(readFileSync(binaryFile, "utf8")).toBe(await vectorsBinary());
});

/** @file `--embedding [NAME=]FILE`. */

import { expect, it } from "vitest";
import { embeddingOption } from "./embedding.js";

it.each([
  ["moss.safetensors", { file: "moss.safetensors" }],
  ["<moss>=a/b.safetensors", { token: "<moss>", file: "a/b.safetensors" }],
  ["moss=owner/name@main/x.safetensors", { token: "moss", file: "owner/name@main/x.safetensors" }],
  ["./a=b.safetensors", { file: "./a=b.safetensors" }],
])("--embedding %s is %j", (value, wanted) => {
  expect(embeddingOption(value, [{ file: "first" }])).toEqual([{ file: "first" }, wanted]);
});

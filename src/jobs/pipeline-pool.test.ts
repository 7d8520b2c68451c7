/** @file Pipelines stay open while they are used, and of those with LoRAs only a few. */

import { expect, it } from "vitest";
import { tinyLora, tinyModel } from "../../test/serving.js";
import { openModelRegistry } from "./model-registry.js";
import { PipelinePool } from "./pipeline-pool.js";

it("keeps a model's pipeline, and the four with LoRAs that were used last", async () => {
  const [model] = (await openModelRegistry([tinyModel], [{ name: "bicycles", ...tinyLora }])).values();
  const pool = new PipelinePool({ threads: 1 });
  const at = (scale: number) => pool.pipeline(model!, [{ name: "bicycles", scale }]);
  const plain = await pool.pipeline(model!);
  const opened = [await at(1), await at(2), await at(3), await at(4)];
  expect(new Set([plain, ...opened]).size).toBe(5);
  expect(await at(1)).toBe(opened[0]);
  await at(5);
  expect(await at(1)).toBe(opened[0]);
  expect(await at(2)).not.toBe(opened[1]);
  expect(await pool.pipeline(model!)).toBe(plain);
  await expect(pool.pipeline(model!, [{ name: "boats", scale: 1 }])).rejects.toThrow(/^lora: must be one of/);
  await pool.close();
});

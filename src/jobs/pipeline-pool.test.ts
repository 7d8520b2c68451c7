/** @file Which pipelines stay open: those that fit into memory, and of those with LoRAs a few. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyLora, tinyModel } from "../../test/serving.js";
import { defaultLimits } from "./limits.js";
import { openModelRegistry, type ServedModel } from "./model-registry.js";
import { PipelinePool } from "./pipeline-pool.js";
import type { JobRequest } from "./processor.js";
import { resolveRequest } from "./resolve-request.js";

let model: ServedModel;
let plain: JobRequest;
const pool = new PipelinePool({ threads: 1 });
beforeAll(async () => {
  const models = await openModelRegistry([tinyModel], { loras: [{ name: "bicycles", ...tinyLora }] });
  [model] = [...models.values()] as [ServedModel];
  plain = await resolveRequest({ prompt: "a red bicycle" }, models, defaultLimits);
});
afterAll(() => pool.close());

const pipeline = (change: Partial<JobRequest["settings"]> = {}) =>
  pool.pipeline(model, { ...plain, settings: { ...plain.settings, ...change } }, 1);
const scaled = (scale: number, name = "bicycles") => pipeline({ lora: [{ name, scale }] });

describe("a pipeline pool", () => {
  it("keeps a model's pipeline, and the four with LoRAs that were used last", async () => {
    const first = await pipeline();
    const opened = [await scaled(1), await scaled(2), await scaled(3), await scaled(4)];
    expect(new Set([first, ...opened]).size).toBe(5);
    expect(await scaled(1)).toBe(opened[0]);
    await scaled(5);
    expect(await scaled(1)).toBe(opened[0]);
    expect(await scaled(2)).not.toBe(opened[1]);
    expect(await pipeline()).toBe(first);
    await expect(scaled(1, "boats")).rejects.toThrow(/^lora: must be one of/);
  });

  it("closes the others for an image that would not fit into memory beside them", async () => {
    const [first, withLora] = [await pipeline(), await scaled(1)];
    const side = 2 ** 20; // a tebipixel takes more memory than any machine has
    expect(await pipeline({ width: side, height: side })).toBe(first);
    expect(await pipeline()).toBe(first);
    expect(await scaled(1)).not.toBe(withLora);
  });
});

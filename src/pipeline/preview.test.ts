/** @file By what a model's previews are made, and that a fit is the least squares one. */

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RgbImage } from "../image/pixels.js";
import { knownLatentRgb } from "../image/preview.js";
import { DiffusionPipeline } from "./pipeline.js";
import { previewMethod } from "./preview.js";
import { fitPreviewFactors } from "./preview-factors.js";

const golden = new URL("../../golden/data/pipelines/", import.meta.url).pathname;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "preview-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function opened<T>(
  { model = path.join(golden, "sdxl-tiny"), ...options }: { model?: string; vae?: string },
  use: (pipeline: DiffusionPipeline) => Promise<T>,
): Promise<T> {
  const pipeline = await DiffusionPipeline.fromPretrained(model, { threads: 1, ...options });
  return use(pipeline).finally(() => pipeline.close());
}

/** A copy of sdxl-tiny with other fields in a JSON file. */
async function changed(name: string, file: string, fields: object): Promise<string> {
  const model = path.join(folder, name);
  await cp(path.join(golden, "sdxl-tiny"), model, { recursive: true, dereference: true });
  const at = path.join(model, file);
  const before = JSON.parse(await readFile(at, "utf8").catch(() => "{}"));
  await writeFile(at, JSON.stringify({ ...before, ...fields }));
  return model;
}

describe("previews are made", () => {
  const factors = [1, 2, 3, 4].map((n) => [n / 10, 0, -n / 10] as const);

  it("by the factors of koala.json", async () => {
    const model = await changed("own", "koala.json", { preview: { factors } });
    await opened({ model }, async ({ components }) => {
      const method = await previewMethod(components);
      expect(method).toEqual({ by: "factors", latentRgb: { factors, bias: [0, 0, 0] } });
    });
  });

  it("by an AutoencoderTiny, whole images of it", () =>
    opened({ vae: path.join(golden, "taesd-tiny") }, async (pipeline) => {
      expect(await previewMethod(pipeline.components)).toEqual({ by: "decoder" });
      const request = { prompt: "x", seed: 7, width: 64, height: 72, numInferenceSteps: 1 };
      for await (const step of pipeline.stream(request)) {
        const [image] = await step.preview();
        expect([image!.width, image!.height]).toEqual([64, 72]);
      }
    }));

  it("by the published factors only where the autoencoder is theirs", async () => {
    const topology = { block_out_channels: [128, 256, 512, 512] };
    const config = (fields: object) => ({
      folder: {
        component: () => ({ config: async () => ({ _class_name: "AutoencoderKL", ...topology, ...fields }) }),
      },
      vae: { latentChannels: 4, encodes: "moments" },
      defaults: {},
    });
    const by = async (fields: object) => {
      const method = await previewMethod(config(fields) as never);
      return method.by === "factors" ? method.latentRgb : undefined;
    };
    expect(await by({ scaling_factor: 0.13025 })).toBe(knownLatentRgb.sdxl);
    expect(await by({ scaling_factor: 0.18215 })).toBe(knownLatentRgb.sd);
    expect(await by({})).toBe(knownLatentRgb.sd);
    const grey = { factors: Array(4).fill([0.25, 0.25, 0.25]), bias: [0, 0, 0] };
    expect(await by({ scaling_factor: 0.3611 })).toEqual(grey);
    expect(await by({ scaling_factor: 0.13025, block_out_channels: [64, 128, 256, 256] })).toEqual(grey);
  });
});

it("factors are fitted as numpy.linalg.lstsq fits what Diffusers' autoencoder decodes", () =>
  opened({}, async (pipeline) => {
    async function* images(): AsyncGenerator<RgbImage> {
      for (const by of [7, 11, 15])
        yield {
          width: 64,
          height: 64,
          data: Uint8Array.from({ length: 3 * 64 * 64 }, (_, i) => (i * by) % 256),
        };
    }
    const { factors, bias, r2, images: count } = await fitPreviewFactors(pipeline, images());
    const right = [
      [0.0202, -0.0151, -0.0172],
      [0.0269, -0.0528, -0.0572],
      [-0.0394, 0.0001, 0.038],
      [-0.1148, 0.0409, 0.0637],
      [0.0042, 0.0076, 0.001],
    ].flat();
    const worst = Math.max(...[...factors, bias].flat().map((v, i) => Math.abs(v - right[i]!)));
    expect(worst).toBeLessThan(2e-4);
    expect(r2).toBeCloseTo(0.0989991, 4);
    expect(count).toBe(3);
  }));

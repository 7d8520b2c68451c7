/** @file Single files: what they are converted to and back, what broken ones are told, and what inspecting shows. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenLayers } from "../../golden/conformance/layers.js";
import { openOptions, SingleFiles } from "../../golden/single/files.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { Cancelled, InvalidRequest } from "../../src/errors.js";
import { loadComponents } from "../../src/pipeline/components.js";
import { convertModel } from "../../src/pipeline/convert/convert.js";
import { inspectModel } from "../../src/pipeline/inspect.js";
import type { LoadOptions } from "../../src/pipeline/load-options.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { readTensor, resolveWeights } from "../../src/weights/component.js";
import { parseHeader, serialize, type TensorData } from "../../src/weights/safetensors.js";
import { readStored } from "../../src/weights/safetensors-file.js";
import { bicycle } from "./opened.js";

const data = fileURLToPath(new URL("../../golden/data", import.meta.url));
const scratch = mkdtempSync(path.join(tmpdir(), "koala-single-"));
const at = (name: string) => path.join(scratch, name);
const engine = blockingEngine({ threads: 1 });
let files: SingleFiles;
beforeAll(async () => {
  files = new SingleFiles(await goldenLayers(data));
});
afterAll(async () => {
  await files.close();
  rmSync(scratch, { recursive: true });
});

const lora = path.join(data, "pipelines/lora/koala-1b-tiny-diffusers.safetensors");
const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a, (value, i) => Math.abs(value - b[i]!)).reduce((most, d) => Math.max(most, d), 0);

/** Every tensor's bytes, by name. */
async function bytesOf(file: string): Promise<Map<string, string>> {
  const set = await resolveWeights(file);
  const all = new Map<string, string>();
  for (const [name, { dtype, shape }] of set.tensors) {
    const { buffer, byteOffset, byteLength } = await readTensor(set, name);
    all.set(name, `${dtype} ${shape} ${Buffer.from(buffer, byteOffset, byteLength).toString("base64")}`);
  }
  return all;
}

describe("converting", () => {
  it.each(["koala-1b-half", "sd1-plain", "sd2-plain", "sdxl-vpred-ztsnr"])(
    "%s to a folder and back gives the same tensors under the same names",
    async (name) => {
      const { model, options } = await openOptions(name, files);
      const folder = at(name);
      await convertModel(model, folder, { engine, ...options });
      await convertModel(folder, `${folder}.safetensors`, { engine });
      const [before, after] = [await bytesOf(model), await bytesOf(`${folder}.safetensors`)];
      for (const extra of ["alphas_cumprod", "betas", "sqrt_alphas_cumprod"]) before.delete(extra);
      for (const key of before.keys()) if (/position_ids$|logit_scale$/.test(key)) before.delete(key);
      expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
      expect([...after].filter(([key, value]) => before.get(key) !== value).map(([key]) => key)).toEqual([]);
    },
  );

  it("gives the same image as before, with a LoRA merged in that which the LoRA gives", async () => {
    const folder = at("koala-1b-half");
    const loras = [{ file: lora, scale: 0.8 }];
    const { model, options } = await openOptions("koala-1b-half", files);
    await convertModel(model, at("merged"), { engine, ...options, loras, precision: "float32" });
    await convertModel(at("merged"), at("merged.safetensors"), { engine });
    const image = async (from: string, load: LoadOptions = {}) => {
      await using pipe = await DiffusionPipeline.fromPretrained(from, { threads: 1, ...load });
      return (await pipe.generate({ ...bicycle, numInferenceSteps: 1 })).images[0]!.data;
    };
    const [plain, adapted] = [await image(model, options), await image(model, { ...options, loras })];
    expect(await image(folder)).toEqual(plain);
    expect(difference(plain, adapted)).toBeGreaterThan(1);
    const single = await image(at("merged.safetensors"), { config: folder });
    expect(difference(single, adapted)).toBeLessThanOrEqual(1);
  });

  it("writes shards that are read again, in another dtype", async () => {
    const { model, options } = await openOptions("koala-1b-half", files);
    await convertModel(model, at("shards"), {
      engine,
      ...options,
      precision: "float32",
      shardBytes: 1_000_000,
    });
    const names = readdirSync(at("shards/unet")).filter((name) => name.endsWith(".safetensors"));
    expect(names.length).toBeGreaterThan(3);
    const { unet } = await loadComponents(at("shards"), { engine });
    expect(new Set([...unet.component.weights.tensors.values()].map(({ dtype }) => dtype))).toEqual(
      new Set(["F32"]),
    );
  });

  it("overwrites nothing, and leaves nothing where it was stopped", async () => {
    const { model, options } = await openOptions("koala-1b-half", files);
    await writeFile(at("taken.safetensors"), "");
    await expect(convertModel(model, at("taken.safetensors"), { engine, ...options })).rejects.toThrow(
      InvalidRequest,
    );
    const refused = (output: string, more = {}) =>
      expect(convertModel(model, at(output), { engine, ...options, ...more })).rejects;
    await refused("a.ckpt").toThrow("output: must be a folder, or a file that ends in .safetensors");
    await refused("a.safetensors", { shardBytes: 1e6 }).toThrow("shardBytes: belongs to a folder");
    const before = readdirSync(scratch).sort();
    for (const output of ["stopped", "stopped.safetensors"]) {
      const stop = new AbortController();
      const onProgress = ({ done, total }: { done: number; total: number }) =>
        void (done > total / 2 && stop.abort());
      const converting = convertModel(model, at(output), {
        engine,
        ...options,
        signal: stop.signal,
        onProgress,
      });
      await expect(converting).rejects.toThrow(Cancelled);
    }
    expect(readdirSync(scratch).sort()).toEqual(before);
  });
});

describe("a broken single file", () => {
  /** A recipe's file with some tensors changed. */
  async function changed(
    recipe: string,
    change: (tensors: Map<string, TensorData>) => void,
  ): Promise<string> {
    const { file } = await files.built(recipe);
    const bytes = readFileSync(file);
    const { tensors, metadata } = parseHeader(bytes, bytes.length, file);
    const all = new Map<string, TensorData>();
    for (const [name, entry] of tensors)
      all.set(name, { ...entry, data: await readStored({ ...entry, file }) });
    change(all);
    const made = at(`broken-${readdirSync(scratch).length}.safetensors`);
    await writeFile(made, serialize(all, metadata));
    return made;
  }
  const open = async (file: string, recipe: string) =>
    loadComponents(file, { engine, ...(await openOptions(recipe, files)).options });

  it("that is cut short is refused", async () => {
    const { file } = await files.built("koala-1b-half");
    await writeFile(at("cut.safetensors"), readFileSync(file).subarray(0, 200_000));
    await expect(open(at("cut.safetensors"), "koala-1b-half")).rejects.toThrow(/header must end|cut short/);
  });

  it("whose fused matrix is not of three parts is refused by its name", async () => {
    const name = "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_bias";
    const file = await changed("koala-1b-half", (all) =>
      all.set(name, { dtype: "F16", shape: [40], data: new Uint16Array(40) }),
    );
    await expect(open(file, "koala-1b-half")).rejects.toThrow(
      /resblocks\.0\.attn\.in_proj_bias" must hold the rows of query, key and value/,
    );
  });

  it("with NaN in a marker is refused by the marker's name, and with NaN in a weight when it is converted", async () => {
    const marker = await changed("sdxl-playground", (all) =>
      all.set("edm_std", { dtype: "F32", shape: [4], data: Float32Array.of(1, Number.NaN, 1, 1) }),
    );
    await expect(open(marker, "sdxl-playground")).rejects.toThrow(
      "edm_std: must be one positive number per latent channel",
    );
    const weight = await changed("koala-1b-half", (all) => {
      const { data, ...rest } = all.get("model.diffusion_model.out.2.bias")!;
      const bits = new Uint16Array(data.byteLength / 2).fill(0x7e00);
      all.set("model.diffusion_model.out.2.bias", { ...rest, data: bits });
    });
    const { options } = await openOptions("koala-1b-half", files);
    await expect(convertModel(weight, at("nan"), { engine, ...options })).rejects.toThrow(
      /conv_out\.bias: must hold finite numbers/,
    );
  });

  it("without the moving average that --ema asks for is refused, and with it gives it", async () => {
    const { model, options } = await openOptions("koala-1b-half", files);
    await expect(loadComponents(model, { engine, ...options, ema: true })).rejects.toThrow("model_ema.*");
    const other = await openOptions("sdxl-ema", files);
    const [own, averaged] = [
      await loadComponents(other.model, { engine, ...other.options }),
      await loadComponents(other.model, { engine, ...other.options, ema: true }),
    ];
    const [a, b] = [own, averaged].map(({ unet }) => unet.component.weights.tensors.get("conv_in.weight")!);
    expect(a!.offset).not.toBe(b!.offset);
  });
});

describe("inspecting a single file", () => {
  it("shows its family and why, its parts, and what of it is of no use", async () => {
    const { model, options } = await openOptions("koala-1b-half", files);
    const { title, components, notes } = await inspectModel(model, options);
    expect(title).toBe("StableDiffusionXLPipeline in a single file: KOALA-1B");
    expect(components.map(({ component }) => component).sort()).toEqual([
      "text_encoder",
      "text_encoder_2",
      "unet",
      "vae",
    ]);
    expect(notes!.join("\n")).toMatch(
      /transformer depths 0 2 6, middle block of depth 6[\s\S]*5 tensors of no use[\s\S]*modelspec.title: a tiny test model/,
    );
  });
});

/** @file Diffusers folders are opened; other paths are refused with a remedy. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ModelError } from "../errors.js";
import { openFolder } from "./folder.js";

const pipelines = new URL("../../golden/data/pipelines/", import.meta.url).pathname;
const root = mkdtempSync(join(tmpdir(), "folder-"));
afterAll(() => rmSync(root, { recursive: true }));

const sdxl = ["scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae"];

function made(files: Record<string, unknown>): string {
  const folder = mkdtempSync(join(root, "model-"));
  for (const [name, json] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(json));
  return folder;
}

describe("a Diffusers folder", () => {
  it("of each golden pipeline is opened, with the class and config of each part", async () => {
    for (const name of readdirSync(pipelines).filter((n) => /^(koala|sdxl|ssd1b)/.test(n))) {
      const folder = await openFolder(join(pipelines, name));
      expect(folder.className).toBe("StableDiffusionXLPipeline");
      expect([...folder.components.keys()].sort()).toEqual(sdxl);
      expect(await folder.component("unet").config()).toMatchObject({ _class_name: "UNet2DConditionModel" });
      expect(await folder.component("scheduler").config()).toHaveProperty("num_train_timesteps", 1000);
      expect(await folder.component("tokenizer").config()).toHaveProperty("model_max_length", 77);
    }
    const { className, settings, components } = await openFolder(join(pipelines, "sd2-tiny"));
    expect(className).toBe("StableDiffusionPipeline");
    expect(settings).toHaveProperty("requires_safety_checker", false);
    expect(components.has("safety_checker")).toBe(false);
  });

  it("without some of its components is refused, with their names", async () => {
    const copy = join(root, "copy");
    cpSync(join(pipelines, "taesd-tiny"), join(copy, "vae"), { recursive: true });
    cpSync(join(pipelines, "koala-1b-tiny/model_index.json"), join(copy, "model_index.json"));
    const error = await openFolder(copy).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ModelError);
    expect((error as ModelError).missing).toEqual(sdxl.filter((name) => name !== "vae"));
  });

  it("may lack the components that no pipeline here reads; those are refused by name", async () => {
    const index = { _class_name: "X", safety_checker: ["a", "b"], feature_extractor: [null, null] };
    const folder = await openFolder(made({ "model_index.json": index }));
    expect(() => folder.component("safety_checker")).toThrow(/must name the component "safety_checker"/);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["an empty folder", {}, /got an empty folder/],
    [
      "the folder of one component",
      { "config.json": { _class_name: "UNet2DConditionModel" } },
      /one component \(UNet2DConditionModel\)\. Pass the folder that holds it/,
    ],
    [
      "a Transformers part",
      { "config.json": { architectures: ["CLIPTextModel"] } },
      /one component \(CLIPTextModel\)/,
    ],
    [
      "a folder with a checkpoint",
      { "sd.safetensors": 1 },
      /the checkpoint "sd.safetensors"\. Pass the path/,
    ],
    ["some other folder", { "notes.txt": 1 }, /got "notes.txt"\. Check the path/],
    ["an index without a class", { "model_index.json": { unet: ["a", "b"] } }, /"_class_name" must name/],
    [
      "a part of three",
      { "model_index.json": { _class_name: "X", unet: [1, 2, 3] } },
      /"unet" must be \[library/,
    ],
    ["a part half null", { "model_index.json": { _class_name: "X", unet: [null, "b"] } }, /got \[null,"b"\]/],
    [
      "a part above",
      { "model_index.json": { _class_name: "X", "..": ["a", "b"] } },
      /name of a folder, got "\.\."/,
    ],
    ["a part elsewhere", { "model_index.json": { _class_name: "X", "/tmp": ["a", "b"] } }, /got "\/tmp"/],
  ])("refuses %s", async (_, files, message) => {
    const error = await openFolder(made(files)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ModelError);
    expect((error as Error).message).toMatch(message);
  });

  it("is not a cache entry, a single file, a pickle or a missing path, each refused with its remedy", async () => {
    const cache = made({});
    mkdirSync(join(cache, "snapshots"));
    await expect(openFolder(cache)).rejects.toThrow(/Hugging Face cache entry\. Pass .*"snapshots"/);
    const files = made({ "a.safetensors": 1, "a.ckpt": 1 });
    await expect(openFolder(join(files, "a.safetensors"))).rejects.toThrow(/got a single file/);
    await expect(openFolder(join(files, "a.ckpt"))).rejects.toThrow(/runs code/);
    await expect(openFolder(join(root, "absent"))).rejects.toThrow(/does not exist\. Check it/);
  });
});

/** @file Graphs of ComfyUI, plain and not. */

import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { fileTexts } from "../file-texts.js";
import { settingsIn } from "./programs.js";

type Graph = Record<string, { class_type: string; inputs: Record<string, unknown> }>;

const node = (class_type: string, inputs: Record<string, unknown>) => ({ class_type, inputs });
const sampler = {
  steps: 20,
  cfg: 8,
  sampler_name: "euler",
  scheduler: "normal",
  denoise: 1,
  model: ["4", 0],
};
/** The graph that ComfyUI begins with. */
const standard: Graph = {
  "3": node("KSampler", {
    ...sampler,
    seed: 5,
    positive: ["6", 0],
    negative: ["7", 0],
    latent_image: ["5", 0],
  }),
  "4": node("CheckpointLoaderSimple", { ckpt_name: "xl\\\\sd_xl_base_1.0.safetensors" }),
  "5": node("EmptyLatentImage", { width: 512, height: 768, batch_size: 1 }),
  "6": node("CLIPTextEncode", { text: "a cat", clip: ["4", 1] }),
  "7": node("CLIPTextEncode", { text: "dog", clip: ["4", 1] }),
  "8": node("VAEDecode", { samples: ["3", 0], vae: ["4", 2] }),
  "9": node("SaveImage", { filename_prefix: "ComfyUI", images: ["8", 0] }),
};
const fields = {
  Steps: "20",
  Sampler: "euler",
  "Schedule type": "normal",
  "CFG scale": "8",
  Seed: "5",
  Size: "512x768",
  Model: "sd_xl_base_1.0",
  RNG: "CPU",
};

const found = (graph: unknown) => settingsIn(new Map([["prompt", JSON.stringify(graph)]]))!;
const read = (change: Graph) => {
  const { program, parameters, problem } = found({ ...standard, ...change });
  expect(program).toBe("ComfyUI");
  return { ...parameters, fields: Object.fromEntries(parameters.fields), ...(problem && { problem }) };
};
/** The standard sampler with other inputs. */
const sampling = (inputs: Record<string, unknown>, kind = "KSampler") => ({
  "3": node(kind, { ...standard["3"]!.inputs, ...inputs }),
});

describe("a graph of standard nodes", () => {
  it("gives every setting, from a text, from an object, and from the graph alone", () => {
    const expected = { prompt: "a cat", negativePrompt: "dog", fields };
    expect(read({})).toEqual(expected);
    for (const UserComment of [{ prompt: standard, workflow: {} }, standard]) {
      const { parameters } = settingsIn(new Map([["UserComment", JSON.stringify(UserComment)]]))!;
      expect(parameters.prompt).toBe("a cat");
      expect(Object.fromEntries(parameters.fields)).toEqual(fields);
    }
  });

  it("is read from files that Pillow wrote as ComfyUI does", async () => {
    for (const file of ["comfyui.png", "comfyui.webp"]) {
      const bytes = await readFile(new URL(`../testdata/${file}`, import.meta.url));
      const { parameters } = settingsIn((await fileTexts(bytes))!)!;
      expect(parameters).toMatchObject({ prompt: 'a "grün" lighthouse', negativePrompt: "text, watermark" });
      expect(Object.fromEntries(parameters.fields)).toEqual({
        ...fields,
        Sampler: "dpmpp_2m",
        "Schedule type": "karras",
        "CFG scale": "6.5",
        Seed: "18446744073709551615",
        Size: "832x1216",
      });
    }
  });

  it("may have links where there are values", () => {
    const change = {
      ...sampling({ seed: ["10", 0], steps: ["11", 0] }),
      "6": node("CLIPTextEncode", { text: ["12", 0], clip: ["4", 1] }),
      "10": node("Seed (rgthree)", { seed: 77 }),
      "11": node("PrimitiveInt", { value: 9 }),
      "12": node("PrimitiveString", { value: "two cats" }),
    };
    expect(read(change)).toMatchObject({ prompt: "two cats", fields: { ...fields, Seed: "77", Steps: "9" } });
  });

  it("may be SDXL's, whose two texts are one prompt if they are the same", () => {
    const texts = (text_g: string, text_l: string) => ({
      "6": node("CLIPTextEncodeSDXL", { text_g, text_l }),
    });
    expect(read(texts("a cat", "a cat"))).toEqual({ prompt: "a cat", negativePrompt: "dog", fields });
    expect(read(texts("a cat", "fur"))).toMatchObject({
      prompt: "a cat",
      fields: { "text_l of node 6": "not read" },
    });
  });
});

describe("what is not understood of a graph is named", () => {
  it.each<[string, Graph, Record<string, string>]>([
    [
      "a LoRA between model and sampler",
      {
        ...sampling({ model: ["10", 0] }),
        "10": node("LoraLoader", { model: ["4", 0], lora_name: "ink.safetensors" }),
      },
      { ...fields, LoraLoader: "node 10" },
    ],
    [
      "a ControlNet on the prompt",
      {
        ...sampling({ positive: ["10", 0], negative: ["10", 1] }),
        "10": node("ControlNetApplyAdvanced", { positive: ["6", 0], negative: ["7", 0], strength: 1 }),
      },
      { ...fields, ControlNetApplyAdvanced: "node 10" },
    ],
    [
      "an image to begin with",
      {
        ...sampling({ latent_image: ["10", 0], denoise: 0.6 }),
        "10": node("VAEEncode", { pixels: ["11", 0] }),
        "11": node("LoadImage", { image: "x.png" }),
      },
      { ...fields, "Denoising strength": "0.6", VAEEncode: "node 10", LoadImage: "node 11" },
    ],
    [
      "a part of the steps",
      sampling({ noise_seed: 6, seed: undefined, start_at_step: 0, end_at_step: 15 }, "KSamplerAdvanced"),
      { ...fields, Seed: "6", end_at_step: "15" },
    ],
    [
      "which of several images it is",
      { "5": node("EmptyLatentImage", { width: 512, height: 768, batch_size: 4 }) },
      { ...fields, batch_size: "several" },
    ],
  ])("%s", (_, change, expected) => {
    const { fields: got, ...rest } = read(change);
    const { Size: _size, ...sizeless } = expected;
    expect(rest).toEqual({ prompt: "a cat", negativePrompt: "dog" });
    expect(got).toEqual("VAEEncode" in expected ? sizeless : expected);
  });

  it("a second sampler, where one begins with an empty image", () => {
    const second = node("KSampler", { ...sampler, seed: 1, latent_image: ["10", 0], denoise: 0.5 });
    const change = { "10": node("LatentUpscale", { samples: ["3", 0] }), "11": second };
    expect(read(change)).toEqual({
      prompt: "a cat",
      negativePrompt: "dog",
      fields: { ...fields, LatentUpscale: "node 10", KSampler: "node 11" },
    });
  });

  it("a negative prompt that is made into zeros, which is none", () => {
    const change = {
      ...sampling({ negative: ["10", 0] }),
      "10": node("ConditioningZeroOut", { conditioning: ["6", 0] }),
    };
    const { negativePrompt, fields: got } = read(change);
    expect([negativePrompt, got.ConditioningZeroOut]).toEqual([undefined, "node 10"]);
  });
});

describe("a graph without a prompt says why", () => {
  it.each<[string, unknown, string]>([
    ["no text", { "3": standard["3"] }, "its prompt was not found: KSampler (node 3) leads to no text"],
    ["no sampler", { "6": standard["6"] }, "it has no KSampler node"],
    [
      "two samplers that begin alike",
      { ...standard, "10": standard["3"] },
      "it has 2 KSampler nodes, and not one of them alone begins with an empty image",
    ],
    [
      "a prompt that leads to itself",
      { ...standard, "6": node("ConditioningCombine", { conditioning_1: ["6", 0] }) },
      "its prompt was not found: KSampler (node 3) leads to no text",
    ],
  ])("%s", (_, graph, problem) => {
    expect(found(graph)).toMatchObject({ program: "ComfyUI", problem });
  });

  it("the editor's workflow alone, and the file of a bug report", async () => {
    expect(settingsIn(new Map([["workflow", '{"nodes":[]}']]))).toMatchObject({
      program: "ComfyUI",
      problem: "it holds the editor's workflow alone, not the graph that was run",
    });
    const bytes = await readFile(new URL("../testdata/drop-comfy.png", import.meta.url));
    const { parameters, problem } = settingsIn((await fileTexts(bytes))!)!;
    expect(problem).toBe("its prompt was not found: KSampler (node 3) leads to no text");
    expect(Object.fromEntries(parameters.fields)).toMatchObject({ Steps: "20", Seed: "5", "CFG scale": "8" });
  });
});

/** @file Which folders open and as what: pipeline classes, variants, channels, tokenizers, and another U-Net. */

import { cpSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { resolveWeights, type WeightEntry } from "../weights/component.js";
import { serialize, type TensorData } from "../weights/safetensors.js";
import { openSafetensors, readFloat32 } from "../weights/safetensors-file.js";
import type { ComponentOptions } from "./component-files.js";
import { type Components, loadComponents } from "./components.js";
import { firstEmbeddings } from "./conditioning.js";
import { layerNames } from "./lora.js";
import { DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline } from "./pipeline.js";

const golden = new URL("../../golden/data", import.meta.url).pathname;
const pipelines = path.join(golden, "pipelines");
const model = path.join(pipelines, "koala-1b-tiny");
const scratch = realpathSync(mkdtempSync(path.join(tmpdir(), "koala-load-")));
afterAll(() => rmSync(scratch, { recursive: true }));

let copies = 0;

/** A copy of a golden folder that may be changed. */
function copied(name: string): string {
  const folder = path.join(scratch, String(copies++));
  cpSync(path.join(pipelines, name), folder, { recursive: true });
  return folder;
}

function changeJson(file: string, change: (json: Record<string, unknown>) => Record<string, unknown>): void {
  writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, "utf8")))));
}

const engine = blockingEngine({ threads: 1 });
const load = (folder: string, options: Omit<ComponentOptions, "engine"> = {}): Promise<Components> =>
  loadComponents(folder, { engine, ...options });

const pipelineClass = (folder: string, className: string, settings: object = {}) =>
  changeJson(path.join(folder, "model_index.json"), (index) => ({
    ...index,
    ...settings,
    _class_name: className,
  }));

describe("a folder of another pipeline of Diffusers with the same parts", () => {
  it.each([
    ["StableDiffusionXLImg2ImgPipeline", "sdxl-tiny", StableDiffusionXLPipeline],
    ["StableDiffusionXLInpaintPipeline", "sdxl-tiny", StableDiffusionXLPipeline],
    ["StableDiffusionImg2ImgPipeline", "sd2-tiny", StableDiffusionPipeline],
    ["StableDiffusionInpaintPipeline", "sd2-tiny", StableDiffusionPipeline],
  ])("%s opens as the plain one", async (className, name, wanted) => {
    const folder = copied(name);
    pipelineClass(folder, className);
    const pipe = await DiffusionPipeline.fromPretrained(folder, { engine });
    expect(pipe).toBeInstanceOf(wanted);
  });

  it("gets the scheduler that the plain one gets", async () => {
    const folder = copied("sd2-tiny");
    const config = path.join(folder, "scheduler/scheduler_config.json");
    changeJson(config, (json) => ({ ...json, steps_offset: 0, clip_sample: true }));
    pipelineClass(folder, "StableDiffusionImg2ImgPipeline");
    const { scheduler } = await load(folder);
    expect(scheduler.config).toMatchObject({ stepsOffset: 1, clipSample: false });
  });

  it.each([
    ["StableDiffusionXLAdapterPipeline", {}, /got "StableDiffusionXLAdapterPipeline"\. Its control network/],
    ["StableDiffusionXLPAGPipeline", {}, /write the class without PAG there/],
    ["StableDiffusionXLInstructPix2PixPipeline", {}, /takes inputs that are not supported/],
    ["StableDiffusionPipelineSafe", {}, /write one of these classes there/],
    ["FluxPipeline", {}, /Use KOALA, SDXL or Stable Diffusion 1 or 2\.$/],
    [
      "StableDiffusionXLImg2ImgPipeline",
      { requires_aesthetics_score: true },
      /^model_index.json: requires_aesthetics_score: must be false, got true\. This is SDXL's refiner/,
    ],
  ])("%s with %j is refused with what to do", async (className, settings, message) => {
    const folder = copied("sdxl-tiny");
    pipelineClass(folder, className, settings);
    await expect(load(folder)).rejects.toThrow(message);
  });
});

/** A copy of a golden pipeline whose text encoders are named as Transformers 5.6 names them. */
async function savedByTransformers5(name: string): Promise<string> {
  const folder = path.join(scratch, `${name}-transformers-5`);
  cpSync(path.join(golden, "pipelines", name), folder, { recursive: true });
  for (const part of ["text_encoder", "text_encoder_2"]) {
    const { tensors } = await resolveWeights(path.join(folder, part));
    const flat = [...tensors].map(
      async ([key, entry]): Promise<[string, TensorData]> => [
        key.replace(/^text_model\./, ""),
        { dtype: "F32", shape: entry.shape, data: await readFloat32(key, entry) },
      ],
    );
    writeFileSync(path.join(folder, part, "model.safetensors"), serialize(new Map(await Promise.all(flat))));
  }
  return folder;
}

describe("text encoders whose names have no text_model, as Transformers 5 writes them", () => {
  it("give Diffusers' embeddings", async () => {
    const folder = await savedByTransformers5("koala-1b-tiny");
    const run = await openSafetensors(path.join(golden, "runs/koala-1b-tiny/wide.safetensors"));
    const { call } = JSON.parse(readFileSync(path.join(golden, "runs/koala-1b-tiny/wide.json"), "utf8"));
    const pipe = await DiffusionPipeline.fromPretrained(folder, { threads: 1 });
    const { prompt, negative_prompt: negativePrompt, width, height } = call;
    const { conditions } = await pipe.prepare({ prompt, negativePrompt, width, height });
    const embeddings = firstEmbeddings(conditions, 1);
    for (const [field, name] of [
      ["prompt", "prompt_embeds"],
      ["negative", "negative_prompt_embeds"],
      ["pooled", "pooled_prompt_embeds"],
    ] as const) {
      const wanted = await run.readFloats(name);
      const got = embeddings[field]!.data as Float32Array;
      const most = Math.max(...wanted.map(Math.abs));
      expect(Math.max(...wanted.map((v, i) => Math.abs(v - got[i]!))) / most).toBeLessThan(1e-4);
    }
    await pipe.close();
  });

  it("are changed by a LoRA of either spelling", () => {
    const entry: WeightEntry = { dtype: "F32", shape: [4, 4], offset: 0, length: 64, file: "" };
    const weight = "text_model.encoder.layers.0.mlp.fc1.weight";
    const names = layerNames({
      name: "text_encoder",
      weights: { tensors: new Map([[weight, entry]]), files: [], totalBytes: 64 },
    });
    for (const path of ["text_model_encoder_layers_0_mlp_fc1", "encoder_layers_0_mlp_fc1"])
      expect(names.get(path)).toBe(weight);
  });
});

describe("the size of a request without one", () => {
  const unet = (change: object) => {
    const folder = path.join(scratch, `sizes-${Math.random()}`);
    cpSync(path.join(golden, "pipelines/sd2-tiny"), folder, { recursive: true });
    const file = path.join(folder, "unet/config.json");
    const config = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify({ ...config, ...change }));
    return folder;
  };
  const sizeOf = async (change: object) =>
    (await loadComponents(unet(change), { engine: blockingEngine({ threads: 1 }) })).trainedSize;

  it("is sample_size, of which a pair is height and width", async () => {
    expect(await sizeOf({ sample_size: [24, 40] })).toEqual({ height: 192, width: 320 });
    expect(await sizeOf({ sample_size: 96 })).toEqual({ height: 768, width: 768 });
    await expect(sizeOf({ sample_size: [24] })).rejects.toThrow(
      "unet/config.json: sample_size: must be a number, or a height and a width, got [24].",
    );
  });

  it("is 512 for a Stable Diffusion U-Net of below 64 from before Diffusers 0.9, as its pipeline has it", async () => {
    const old = { sample_size: 32, _diffusers_version: "0.8.1" };
    expect(await sizeOf(old)).toEqual({ height: 512, width: 512 });
    expect(await sizeOf({ ...old, _diffusers_version: "0.6.0.dev0" })).toEqual({ height: 512, width: 512 });
    expect(await sizeOf({ ...old, sample_size: [32, 32] })).toEqual({ height: 256, width: 256 });
    for (const _diffusers_version of ["0.9.0", "0.9.0.dev0", "0.42.1", "1.0.0"])
      expect(await sizeOf({ ...old, _diffusers_version })).toEqual({ height: 256, width: 256 });
  });
});

describe("a variant", () => {
  /** The U-Net in two precisions, all else plain. */
  function mixed(): string {
    const folder = copied("koala-1b-tiny");
    const at = (variant: string) => path.join(folder, `unet/diffusion_pytorch_model${variant}.safetensors`);
    cpSync(at(""), at(".fp16"));
    renameSync(at(""), at(".bf16"));
    return folder;
  }

  it("is taken of the parts that have it, and the plain files of the others, which is told", async () => {
    const { unet, vae, warnings } = await load(mixed(), { variant: "bf16" });
    expect(unet.component.file).toBe("unet/diffusion_pytorch_model.bf16.safetensors");
    expect(vae.component.file).toBe("vae/diffusion_pytorch_model.safetensors");
    expect(warnings).toEqual([
      'variant: text_encoder, text_encoder_2, vae have none called "bf16", so their plain files are used',
    ]);
  });

  it("of every part is nothing to tell", async () => {
    expect((await load(path.join(pipelines, "koala-700m-tiny"), { variant: "fp16" })).warnings).toEqual([]);
  });

  it("of no part is refused, and so is a part that has neither it nor plain files", async () => {
    await expect(load(model, { variant: "fp16" })).rejects.toThrow(
      /koala-1b-tiny: must hold variant "fp16" of a component, got plain files alone\. Leave the variant out/,
    );
    await expect(load(path.join(pipelines, "koala-700m-tiny"), { variant: "plain" })).rejects.toThrow(
      /must hold variant "plain" of a component, got fp16 files alone/,
    );
    await expect(load(mixed(), { variant: "ema" })).rejects.toThrow(
      /unet: must hold variant "ema" or plain files, got variant "bf16" and variant "fp16"\./,
    );
    await expect(load(mixed())).rejects.toThrow(/unet: has several variants, got .* Name one of them\./);
  });
});

describe("a U-Net whose channels are not the autoencoder's", () => {
  /** A file of the U-Net in `folder` whose first convolution reads this many channels. */
  async function widened(folder: string, channels: number): Promise<string> {
    const at = path.join(folder, "unet/diffusion_pytorch_model.safetensors");
    const stored = await openSafetensors(at);
    const tensors = new Map<string, TensorData>();
    for (const [name, { dtype, shape }] of stored.tensors)
      tensors.set(name, { dtype, shape, data: await stored.read(name) });
    const [out] = stored.tensors.get("conv_in.weight")!.shape;
    const data = new Float32Array(out! * channels * 9);
    tensors.set("conv_in.weight", { dtype: "F32", shape: [out!, channels, 3, 3], data });
    const file = path.join(folder, `unet-${channels}.safetensors`);
    writeFileSync(file, serialize(tensors));
    return file;
  }

  const inpainting =
    "in_channels: must be 4, the autoencoder's latent_channels, got 9. " +
    "These are inpainting's, which also reads a mask and the masked image: use a model of 4 channels";

  it("is refused when it is opened, by its config", async () => {
    const folder = copied("koala-1b-tiny");
    const config = path.join(folder, "unet/config.json");
    changeJson(config, (json) => ({ ...json, in_channels: 9 }));
    await expect(load(folder)).rejects.toThrow(`unet/config.json: ${inpainting}`);
    changeJson(config, (json) => ({ ...json, in_channels: 4, out_channels: 8 }));
    await expect(load(folder)).rejects.toThrow(
      "unet/config.json: out_channels: must be 4, the autoencoder's latent_channels, got 8. Use another U-Net.",
    );
  });

  it("is refused when it stands in for the model's own, by its weights or its own config", async () => {
    const folder = copied("koala-1b-tiny");
    const unet = await widened(folder, 9);
    await expect(load(model, { unet })).rejects.toThrow(`unet-9.safetensors: ${inpainting}`);
    const other = path.join(folder, "unet");
    changeJson(path.join(other, "config.json"), (json) => ({ ...json, in_channels: 9 }));
    await expect(load(model, { unet: other })).rejects.toThrow(`${other}/config.json: ${inpainting}`);
  });

  it("is not what is at fault where another autoencoder was given", async () => {
    const vae = path.join(copied("koala-1b-tiny"), "vae");
    changeJson(path.join(vae, "config.json"), (json) => ({ ...json, latent_channels: 16 }));
    await expect(load(model, { vae })).rejects.toThrow(
      /: latent_channels: must be 4, the U-Net's in_channels, got 16\. Use an autoencoder that was made for/,
    );
  });
});

describe("another U-Net", () => {
  it("of another model is refused by the file's name", async () => {
    const unet = path.join(pipelines, "lightning/sdxl_lightning_4step_unet.safetensors");
    const pipe = await DiffusionPipeline.fromPretrained(model, { threads: 1, unet });
    const request = { prompt: "a boat", width: 64, height: 64, numInferenceSteps: 1 };
    await expect(pipe.generate(request)).rejects.toThrow(/sdxl_lightning_4step_unet\.safetensors: /);
    await pipe.close();
  });

  it("from a folder, or out of a whole model's, brings its own config", async () => {
    for (const unet of [path.join(pipelines, "ssd1b-tiny/unet"), path.join(pipelines, "ssd1b-tiny")]) {
      const found = await load(path.join(pipelines, "sdxl-tiny"), { unet });
      expect(found.unet.config.mid).toBeUndefined();
    }
    expect((await load(path.join(pipelines, "sdxl-tiny"))).unet.config.mid).toBeDefined();
  });

  it("from a folder of another part is refused by its class", async () => {
    await expect(load(model, { unet: path.join(model, "vae") })).rejects.toThrow(
      /vae\/config\.json: _class_name: must be UNet2DConditionModel, got "AutoencoderKL"/,
    );
  });
});

describe("a tokenizer", () => {
  it("saved by Transformers before 4.34 has the tokens of its added_tokens.json", async () => {
    const folder = copied("sd2-tiny");
    writeFileSync(path.join(folder, "tokenizer/added_tokens.json"), '{"<sks>": 814}');
    const { textEncoders } = await load(folder);
    const { uncut } = textEncoders[0]!.tokenizer.encode("a photo of <sks> dog");
    expect(uncut).toEqual([812, 320, 657, 591, 518, 814, 537, 326, 813]); // Transformers 5.24's
  });
});

/** @file What may stand in for a model's own autoencoder: a folder, a file of AutoencoderKL in any naming, TAESD's files. */

import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Generator } from "../../src/diffusion/random.js";
import { vaeNames } from "../../src/models/ldm-vae.js";
import { tinyDecode, tinyEncode, tinyVaeConfig } from "../../src/models/tiny-vae.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { input } from "../../src/tensor/operations.js";
import { manifest } from "../../src/tensor/params.js";
import { serialize, type TensorData } from "../../src/weights/safetensors.js";
import { openSafetensors } from "../../src/weights/safetensors-file.js";

const golden = new URL("../../golden/data", import.meta.url).pathname;
const model = path.join(golden, "pipelines/koala-1b-tiny");
const scratch = realpathSync(mkdtempSync(path.join(tmpdir(), "koala-vae-")));
afterAll(() => rmSync(scratch, { recursive: true }));

async function decoded(
  vae: string | undefined,
  latents: Float32Array,
  h: number,
  w: number,
  at = model,
): Promise<Float32Array> {
  const pipe = await DiffusionPipeline.fromPretrained(at, { threads: 1, ...(vae !== undefined && { vae }) });
  try {
    return await pipe.decode(latents, h, w);
  } finally {
    await pipe.close();
  }
}

describe("another autoencoder", () => {
  it("from a folder decodes as Diffusers' does", async () => {
    const stage = await openSafetensors(path.join(golden, "stages/taesd-tiny.safetensors"));
    const [latents, wanted] = [
      await stage.readFloats("decode.square.input"),
      await stage.readFloats("decode.square.sample"),
    ];
    const got = await decoded(path.join(golden, "pipelines/taesd-tiny"), latents, 6, 6);
    const most = Math.max(...wanted.map(Math.abs));
    expect(Math.max(...wanted.map((v, i) => Math.abs(v - got[i]!))) / most).toBeLessThan(1e-4);
  });

  it("named tiny is the TAESD beside the model, of which few-step runs are told", async () => {
    const [home, tiny] = [path.join(scratch, "beside"), path.join(scratch, "beside", "taesdxl")];
    const koala = path.join(home, "koala");
    cpSync(model, koala, { recursive: true });
    const request = { prompt: "a red bicycle", width: 64, height: 64, numInferenceSteps: 1, seed: 7 };
    const generated = async (vae?: string, numInferenceSteps = 1) => {
      await using pipe = await DiffusionPipeline.fromPretrained(koala, { threads: 1, ...(vae && { vae }) });
      const notices: string[] = [];
      const onNotice = (text: string) => void notices.push(text);
      const { images } = await pipe.generate({ ...request, numInferenceSteps, onNotice });
      return { data: images[0]!.data, told: notices.filter((text) => text.includes("TAESD")).length };
    };
    await expect(generated("tiny")).rejects.toThrow(
      /vae: must be "tiny" where a TAESD lies in .*, got no taesdxl there\. Name one, as in --vae madebyollin\/taesdxl/,
    );
    const own = await generated();
    expect(own.told).toBe(0);
    cpSync(path.join(golden, "pipelines/taesd-tiny"), tiny, { recursive: true });
    expect(await generated()).toEqual({ data: own.data, told: 1 });
    expect((await generated(undefined, 11)).told).toBe(0);
    const named = await generated(tiny);
    expect(await generated("tiny")).toEqual({ data: named.data, told: 0 });
    expect(named.data).not.toEqual(own.data);
  });

  it("from TAESD's decoder file, the encoder's beside it, is as from a folder with the same weights", async () => {
    const generator = new Generator(9);
    const shapes = manifest((p) => [
      tinyDecode(p, tinyVaeConfig({}), input("x", [1, 4, 8, 8])),
      tinyEncode(p, tinyVaeConfig({}), input("image", [1, 3, 64, 64])),
    ]);
    const weights = new Map(
      [...shapes].map(([name, shape]): [string, TensorData] => {
        const size = shape.reduce((a, b) => a * b, 1);
        const fan = size / shape[0]!;
        return [
          name,
          { dtype: "F32", shape, data: generator.normal(size).map((v) => v / Math.sqrt(2 * fan)) },
        ];
      }),
    );
    // Its own files count the clamp before the first convolution as layer 0.
    const ownFile = (half: "decoder" | "encoder", first: number) => {
      const start = `${half}.layers.`;
      const old = (name: string) =>
        name.slice(start.length).replace(/^\d+/, (i) => String(Number(i) + first));
      const own = [...weights].filter(([name]) => name.startsWith(start));
      const file = path.join(scratch, `taesd_${half}.safetensors`);
      writeFileSync(file, serialize(new Map(own.map(([name, t]) => [old(name), t]))));
      return file;
    };
    const file = ownFile("decoder", 1);
    const folder = path.join(scratch, "folder");
    mkdirSync(folder);
    writeFileSync(path.join(folder, "config.json"), '{"_class_name": "AutoencoderTiny"}');
    writeFileSync(path.join(folder, "diffusion_pytorch_model.safetensors"), serialize(weights));
    const latents = generator.normal(4 * 8 * 8);
    const fromFile = await decoded(file, latents, 8, 8);
    expect(fromFile.length).toBe(3 * 64 * 64);
    expect(fromFile).toEqual(await decoded(folder, latents, 8, 8));

    const image = { data: new Uint8Array(64 * 64 * 3).fill(90), width: 64, height: 64 };
    const generated = async (vae: string) => {
      const pipe = await DiffusionPipeline.fromPretrained(model, { threads: 1, vae });
      try {
        return (await pipe.generate({ prompt: "a boat", image, numInferenceSteps: 4, seed: 3 })).images[0]!
          .data;
      } finally {
        await pipe.close();
      }
    };
    await expect(generated(file)).rejects.toThrow(
      "taesd_decoder.safetensors: must hold an encoder to begin with an image, got the decoder alone. " +
        "Put taesd_encoder.safetensors beside it, or give a folder that holds both.",
    );
    const encoder = ownFile("encoder", 0);
    expect(await generated(file)).toEqual(await generated(folder));
    await expect(generated(encoder)).rejects.toThrow(
      "taesd_encoder.safetensors: must be TAESD's decoder, got the file of its encoder.",
    );
  });

  it("that does not fit is refused by the file's name", async () => {
    const thin = path.join(scratch, "thin.safetensors"); // without its config.json
    cpSync(path.join(golden, "pipelines/taesd-tiny/diffusion_pytorch_model.safetensors"), thin);
    await expect(decoded(thin, new Float32Array(256), 8, 8)).rejects.toThrow(
      /thin\.safetensors: decoder\.layers\.0\.weight: must be \[64, 4, 3, 3\].*got \[16, 4, 3, 3\]/,
    );
    await expect(
      decoded(path.join(golden, "pipelines/sd2-tiny/unet"), new Float32Array(256), 8, 8),
    ).rejects.toThrow(/_class_name: must be AutoencoderKL or AutoencoderTiny, got "UNet2DConditionModel"/);
  });

  it("that holds no autoencoder is refused by what its names are", async () => {
    const unet = path.join(golden, "pipelines/lightning/sdxl_lightning_4step_unet.safetensors");
    await expect(decoded(unet, new Float32Array(256), 8, 8)).rejects.toThrow(
      /^sdxl_lightning_4step_unet\.safetensors: must be the weights of an AutoencoderKL .* or of TAESD, got "/,
    );
  });
});

describe("one file of an AutoencoderKL", () => {
  const own = path.join(golden, "pipelines/sdxl-tiny");
  const weights = path.join(own, "vae/diffusion_pytorch_model.safetensors");
  const latents = new Generator(4).normal(4 * 6 * 6);
  const sdxl = (vae?: string) => decoded(vae, latents, 6, 6, own);

  /** The same weights as sdxl_vae.safetensors has them: names by Diffusers' conversion, attention as 1x1 convolutions. */
  async function original(name: string, prefix = "", more: Record<string, TensorData> = {}): Promise<string> {
    const names: Record<string, string> = JSON.parse(
      await readFile(new URL("../vae-names.json", import.meta.url), "utf8"),
    );
    const stored = await openSafetensors(weights);
    const tensors = new Map(Object.entries(more));
    for (const [old, present] of Object.entries(names)) {
      const { shape } = stored.tensors.get(present)!;
      const flat = /attn_1\.\w+\.weight$/.test(old) && shape.length === 2;
      const data = await stored.readFloats(present);
      tensors.set(prefix + old, { dtype: "F32", shape: flat ? [...shape, 1, 1] : shape, data });
    }
    const file = path.join(scratch, name);
    writeFileSync(file, serialize(tensors));
    return file;
  }

  it("is found by every name that Diffusers' conversion gives", async () => {
    const names: Record<string, string> = JSON.parse(
      await readFile(new URL("../vae-names.json", import.meta.url), "utf8"),
    );
    const rename = vaeNames(Object.keys(names))!;
    expect(Object.fromEntries(Object.keys(names).map((name) => [name, rename(name)]))).toEqual(names);
  });

  it("in Diffusers' names decodes as its folder does, with its config.json beside it or without", async () => {
    const wanted = await sdxl();
    expect(await sdxl(weights)).toEqual(wanted);
    const alone = path.join(scratch, "alone.safetensors");
    cpSync(weights, alone);
    expect(await sdxl(alone)).toEqual(wanted);
  });

  it("in the original names decodes as its folder does, by itself or in a file of a whole model", async () => {
    const wanted = await sdxl();
    expect(await sdxl(await original("sdxl_vae.safetensors"))).toEqual(wanted);
    const unet: TensorData = { dtype: "F32", shape: [1], data: Float32Array.of(1) };
    const more = { "model.diffusion_model.out.2.bias": unet };
    expect(await sdxl(await original("whole.safetensors", "first_stage_model.", more))).toEqual(wanted);
  });

  it("decodes with the scaling factor of the model whose latents it decodes", async () => {
    const of = async (scaling_factor: number) => {
      const folder = path.join(scratch, `scaled-${scaling_factor}`);
      cpSync(own, folder, { recursive: true });
      const file = path.join(folder, "vae/config.json");
      const config = JSON.parse(await readFile(file, "utf8"));
      writeFileSync(file, JSON.stringify({ ...config, scaling_factor }));
      return folder;
    };
    const [file, folder] = [await original("scaled.safetensors"), await of(0.2605)];
    const doubled = latents.map((v) => 2 * v);
    expect(await decoded(file, doubled, 6, 6, folder)).toEqual(await sdxl());
  });

  it("whose scaling factor nothing tells is refused", async () => {
    const folder = path.join(scratch, "tiny-vae");
    cpSync(own, folder, { recursive: true });
    cpSync(path.join(golden, "pipelines/taesd-tiny"), path.join(folder, "vae"), { recursive: true });
    const index = JSON.parse(await readFile(path.join(folder, "model_index.json"), "utf8"));
    const named = { ...index, vae: ["diffusers", "AutoencoderTiny"] };
    writeFileSync(path.join(folder, "model_index.json"), JSON.stringify(named));
    await expect(decoded(await original("untold.safetensors"), latents, 6, 6, folder)).rejects.toThrow(
      "untold.safetensors: must have its config.json beside it, which says its scaling_factor, got none. " +
        "The model's own autoencoder, AutoencoderTiny, cannot replace it.",
    );
  });

  it("is taken out of the folder of a whole model", async () => {
    expect(await sdxl(own)).toEqual(await sdxl());
  });
});

/** @file What may stand in for a folder's own networks: another autoencoder, a bare U-Net. */

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { tinyDecode, tinyEncode, tinyVaeConfig } from "../models/tiny-vae.js";
import { manifest } from "../tensor/params.js";
import { input } from "../tensor/tensor.js";
import { serialize, type TensorData } from "../weights/safetensors.js";
import { openSafetensors } from "../weights/safetensors-file.js";
import { DiffusionPipeline } from "./pipeline.js";

const golden = new URL("../../golden/data", import.meta.url).pathname;
const model = path.join(golden, "pipelines/koala-1b-tiny");
const scratch = realpathSync(mkdtempSync(path.join(tmpdir(), "koala-vae-")));
afterAll(() => rmSync(scratch, { recursive: true }));

async function decoded(vae: string, latents: Float32Array, h: number, w: number): Promise<Float32Array> {
  const pipe = await DiffusionPipeline.fromPretrained(model, { threads: 1, vae });
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
    const painted = async (vae: string) => {
      const pipe = await DiffusionPipeline.fromPretrained(model, { threads: 1, vae });
      try {
        return (await pipe.generate({ prompt: "a boat", image, numInferenceSteps: 4, seed: 3 })).images[0]!
          .data;
      } finally {
        await pipe.close();
      }
    };
    await expect(painted(file)).rejects.toThrow(
      "taesd_decoder.safetensors: must hold an encoder to begin with a picture, got the decoder alone. " +
        "Put taesd_encoder.safetensors beside it, or give a folder that holds both.",
    );
    const encoder = ownFile("encoder", 0);
    expect(await painted(file)).toEqual(await painted(folder));
    await expect(painted(encoder)).rejects.toThrow(
      "taesd_encoder.safetensors: must be TAESD's decoder, got the file of its encoder.",
    );
  });

  it("that does not fit is refused by the file's name", async () => {
    const thin = path.join(golden, "pipelines/taesd-tiny/diffusion_pytorch_model.safetensors");
    await expect(decoded(thin, new Float32Array(256), 8, 8)).rejects.toThrow(
      /diffusion_pytorch_model\.safetensors: decoder\.layers\.0\.weight: must be \[64, 4, 3, 3\].*got \[16, 4, 3, 3\]/,
    );
    await expect(
      decoded(path.join(golden, "pipelines/sd2-tiny/unet"), new Float32Array(256), 8, 8),
    ).rejects.toThrow(/_class_name: must be AutoencoderKL or AutoencoderTiny, got "UNet2DConditionModel"/);
  });
});

describe("a bare U-Net", () => {
  it("of another model is refused by the file's name", async () => {
    const unet = path.join(golden, "pipelines/lightning/sdxl_lightning_4step_unet.safetensors");
    const pipe = await DiffusionPipeline.fromPretrained(model, { threads: 1, unet });
    const request = { prompt: "a boat", width: 64, height: 64, numInferenceSteps: 1 };
    await expect(pipe.generate(request)).rejects.toThrow(/sdxl_lightning_4step_unet\.safetensors: /);
    await pipe.close();
  });
});

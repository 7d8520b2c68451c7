/** @file Numbers that are not finite end a generation by an error that names component, step and cause. */

import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { EngineError } from "../errors.js";
import { parseHeader } from "../weights/safetensors.js";
import { DiffusionPipeline } from "./pipeline.js";

const model = new URL("../../golden/data/pipelines/koala-1b-tiny", import.meta.url).pathname;
const scratch = realpathSync(mkdtempSync(path.join(tmpdir(), "koala-finite-")));
afterAll(() => rmSync(scratch, { recursive: true }));
const engine = blockingEngine({ threads: 1 });
const request = { prompt: "a red bicycle", width: 64, height: 64, numInferenceSteps: 2, seed: 7 };
const image = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3).fill(99) };
let right: Uint8Array;
beforeAll(async () => {
  const pipe = await DiffusionPipeline.fromPretrained(model, { engine });
  right = (await pipe.generate(request)).images[0]!.data;
});

/** Opens the model with `value` as the first number of a tensor. */
async function openedWith(file: string, tensor: string, value: number): Promise<DiffusionPipeline> {
  const folder = mkdtempSync(path.join(scratch, "model-"));
  cpSync(model, folder, { recursive: true });
  const bytes = readFileSync(path.join(folder, file));
  bytes.writeFloatLE(value, parseHeader(bytes, bytes.length, file).tensors.get(tensor)!.offset);
  writeFileSync(path.join(folder, file), bytes);
  return DiffusionPipeline.fromPretrained(folder, { engine });
}

const [unet, vae] = ["unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"];
const text2 = "text_encoder_2/model.safetensors";

it.each([
  [unet, "conv_out.bias", Number.NaN, /^unet: its prediction of step 1 of 2 \(timestep 501\) must be finite/],
  [
    text2,
    "text_projection.weight",
    Number.NaN,
    /^text_encoder_2: its states of the prompt and negative prompt/,
  ],
  [vae, "decoder.conv_out.bias", Number.POSITIVE_INFINITY, /^vae: its decoded image must be finite/],
])("names the step of %s and its tensor %s that holds %s", async (file, tensor, value, message) => {
  const pipe = await openedWith(file, tensor, value);
  const attempt = pipe.generate({ ...request, negativePrompt: "blurry" });
  await expect(attempt).rejects.toThrow(EngineError);
  await expect(attempt).rejects.toThrow(message);
  await expect(attempt).rejects.toThrow(
    `${file} holds NaN or infinity itself, in ${tensor}. Use another file.`,
  );
});

it("generates as before after an error, of weights as of a guidance that was too large", async () => {
  const pipe = await openedWith(vae, "encoder.conv_in.bias", Number.NaN);
  await expect(pipe.generate({ ...request, image, strength: 1 })).rejects.toThrow(
    /^vae: its latents of the image must be finite, got NaN or infinity in \d+ of \d+ values\. vae\//,
  );
  await expect(pipe.generate({ ...request, guidanceScale: 1e39 })).rejects.toThrow(
    /^EulerDiscreteScheduler: its latents of step 1 of 2 \(timestep 501\) must be finite.* guidance scale/,
  );
  expect((await pipe.generate(request)).images[0]!.data).toEqual(right);
});

it("says of finite weights that the numbers grew too large", async () => {
  const pipe = await openedWith(unet, "conv_norm_out.weight", 3e38);
  await expect(pipe.generate(request)).rejects.toThrow(
    /^unet: its prediction of step 1 .* Its weights are finite\. Likely causes: a guidance or LoRA scale/,
  );
});

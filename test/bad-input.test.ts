/** @file Broken models and requests: each ends in an error that names the file or field, never in a crash or an image. */

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { DiffusionPipeline } from "../src/pipeline/pipeline.js";
import { openSafetensors, writeSafetensors } from "../src/weights/safetensors-file.js";

const model = new URL("../golden/data/pipelines/koala-1b-tiny", import.meta.url).pathname;
const scratch = mkdtempSync(path.join(tmpdir(), "koala-bad-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const weights = "unet/diffusion_pytorch_model.safetensors";
let copies = 0;

function copy(): string {
  const folder = path.join(scratch, `model-${copies++}`);
  cpSync(model, folder, { recursive: true });
  return folder;
}

async function generate(folder: string): Promise<Uint8Array> {
  const pipe = await DiffusionPipeline.fromPretrained(folder, { threads: 1 });
  try {
    const { images } = await pipe.generate({
      prompt: "a boat",
      width: 64,
      height: 64,
      numInferenceSteps: 1,
      seed: 1,
    });
    return images[0]!.data;
  } finally {
    await pipe.close();
  }
}

/** Writes the U-Net's weights again, changed. */
async function rewrite(
  folder: string,
  change: (tensors: Map<string, { dtype: "F32" | "I64"; shape: number[]; data: ArrayBufferView }>) => void,
) {
  const file = await openSafetensors(path.join(folder, weights));
  const tensors = new Map<string, { dtype: "F32" | "I64"; shape: number[]; data: ArrayBufferView }>();
  for (const [name, { shape }] of file.tensors)
    tensors.set(name, { dtype: "F32", shape, data: await file.readFloats(name) });
  change(tensors);
  await writeSafetensors(path.join(folder, weights), tensors);
}

describe("a broken folder", () => {
  const cases: [string, (folder: string) => void | Promise<void>, RegExp][] = [
    [
      "whose weights are cut off",
      (folder) =>
        writeFileSync(
          path.join(folder, weights),
          readFileSync(path.join(folder, weights)).subarray(0, 100_000),
        ),
      /diffusion_pytorch_model\.safetensors/,
    ],
    [
      "whose weights lack two tensors",
      (folder) =>
        rewrite(folder, (tensors) => {
          tensors.delete("conv_in.weight");
          tensors.delete("conv_in.bias");
        }),
      /unet\/diffusion_pytorch_model\.safetensors: missing 2 of 790 tensors: "conv_in\.weight", "conv_in\.bias"/,
    ],
    [
      "with a tensor of another shape",
      (folder) =>
        rewrite(folder, (tensors) =>
          tensors.set("conv_in.bias", { dtype: "F32", shape: [3], data: new Float32Array(3) }),
        ),
      /conv_in\.bias: must be \[16\] by its config\.json, got \[3\]/,
    ],
    [
      "with a tensor of whole numbers",
      (folder) =>
        rewrite(folder, (tensors) =>
          tensors.set("conv_in.bias", { dtype: "I64", shape: [16], data: new BigInt64Array(16) }),
        ),
      /conv_in\.bias: must be F32, F16, BF16, F64, F8_E4M3 or F8_E5M2, got I64/,
    ],
    [
      "whose weights are not finite",
      (folder) =>
        rewrite(folder, (tensors) =>
          tensors.set("conv_in.bias", {
            dtype: "F32",
            shape: [16],
            data: new Float32Array(16).fill(Number.NaN),
          }),
        ),
      /unet: its prediction of step 1 of 1 \(timestep \d+\) must be finite.* holds NaN or infinity itself, in conv_in\.bias\. /,
    ],
    [
      "with a config that is no JSON",
      (folder) => writeFileSync(path.join(folder, "unet/config.json"), '{"act_fn": "silu",'),
      /unet\/config\.json: .*not valid JSON/,
    ],
    [
      "with a config that asks for what is not implemented",
      (folder) => {
        const file = path.join(folder, "unet/config.json");
        writeFileSync(
          file,
          readFileSync(file, "utf8").replace(
            '"resnet_time_scale_shift": "default"',
            '"resnet_time_scale_shift": "scale_shift"',
          ),
        );
      },
      /unet\/config\.json: resnet_time_scale_shift: must be "default"; nothing else is implemented, got "scale_shift"/,
    ],
    [
      "with an unknown scheduler",
      (folder) =>
        writeFileSync(
          path.join(folder, "scheduler/scheduler_config.json"),
          '{"_class_name": "EulerDiscreetScheduler"}',
        ),
      /EulerDiscreetScheduler.*Did you mean "EulerDiscreteScheduler"/,
    ],
    [
      "without weights",
      (folder) => rmSync(path.join(folder, weights)),
      /must hold diffusion_pytorch_model\.safetensors/,
    ],
    [
      "with pickled weights only",
      (folder) =>
        renameSync(path.join(folder, weights), path.join(folder, "unet/diffusion_pytorch_model.bin")),
      /pickle/i,
    ],
    [
      "without a text encoder",
      (folder) => rmSync(path.join(folder, "text_encoder"), { recursive: true }),
      /missing 1 of 7 .*"text_encoder"/,
    ],
    [
      "without merges",
      (folder) => rmSync(path.join(folder, "tokenizer/merges.txt")),
      /merges\.txt: no such file/,
    ],
  ];
  it.each(cases)("%s", async (_, damage, message) => {
    const folder = copy();
    await damage(folder);
    await expect(generate(folder)).rejects.toThrow(message);
  });
});

it("a folder of links, as the Hugging Face cache lays it out, generates what the plain folder generates", async () => {
  const cache = path.join(scratch, "models--someone--koala");
  const blobs = path.join(cache, "blobs");
  const snapshot = path.join(cache, "snapshots/0123");
  mkdirSync(blobs, { recursive: true });
  cpSync(model, snapshot, { recursive: true });
  const link = (name: string, blob: string) => {
    renameSync(path.join(snapshot, name), path.join(blobs, blob));
    symlinkSync(
      path.relative(path.dirname(path.join(snapshot, name)), path.join(blobs, blob)),
      path.join(snapshot, name),
    );
  };
  link(weights, "aaaa");
  link("vae/diffusion_pytorch_model.safetensors", "bbbb");
  link("text_encoder/model.safetensors", "cccc");
  link("unet/config.json", "dddd");
  expect(realpathSync(path.join(snapshot, weights))).toBe(realpathSync(path.join(blobs, "aaaa")));
  expect(await generate(snapshot)).toEqual(await generate(model));
});

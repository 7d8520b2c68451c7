/** @file `koala inspect` of adapters and embeddings: kinds and ranks of the golden files, models of LoRAs of real shapes. */

import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { clipConfig, clipText } from "../../src/models/clip.js";
import { knownTextEncoders, knownUnets, otherUnets } from "../../src/models/known.js";
import { sgmNames } from "../../src/models/sgm.js";
import { traceUnet } from "../../src/models/trace.js";
import { unetConfig } from "../../src/models/unet-config.js";
import { type InspectReport, inspectPath } from "../../src/pipeline/inspect.js";
import { input } from "../../src/tensor/operations.js";
import { manifest } from "../../src/tensor/params.js";
import { serialize, type TensorData } from "../../src/weights/safetensors.js";

const golden = new URL("../../golden/data/", import.meta.url).pathname;
const scratch = mkdtempSync(path.join(tmpdir(), "koala-inspect-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const inspected = async <K extends InspectReport["kind"]>(kind: K, file: string) => {
  const report = await inspectPath(file);
  expect(report.kind).toBe(kind);
  return report as Extract<InspectReport, { kind: K }>;
};

const f16 = (shape: number[]): TensorData => {
  return { dtype: "F16", shape, data: new Uint8Array(2 * shape.reduce((a, b) => a * b, 1)) };
};

type Layers = ReadonlyMap<string, readonly number[]>;

/** The matrices and 1x1 convolutions of transformers, which kohya's trainer adapts by default. */
const transformers = (shapes: Layers): [string, readonly number[]][] =>
  [...shapes].filter(([name, { length }]) => /attentions\..+\.weight$/.test(name) && length >= 2);

/** A LoRA of rank 1 of these weights; `named` gives a layer's name in the file. */
async function loraOf(
  file: string,
  layers: readonly (readonly [string, readonly number[]])[],
  named: (path: string) => string,
): Promise<string> {
  const tensors = new Map<string, TensorData>();
  for (const [weight, [out, width, ...kernel]] of layers) {
    const name = named(weight.replace(/\.weight$/, ""));
    tensors.set(`${name}.lora_down.weight`, f16([1, width!, ...kernel]));
    tensors.set(`${name}.lora_up.weight`, f16([out!, 1, ...kernel]));
  }
  const at = path.join(scratch, file);
  await writeFile(at, serialize(tensors));
  return at;
}

const unetShapes = (json: object): Layers => manifest((p) => traceUnet(p, unetConfig(json)));

function encoderLayers(name: keyof typeof knownTextEncoders) {
  const { config, projected } = knownTextEncoders[name];
  const clip = clipConfig(config, { projected });
  const shapes = manifest((p) => clipText(p, clip, input("ids", [1, 77], "int64")));
  return [...shapes].filter(([path]) => /layers\..+(_proj|fc[12])\.weight$/.test(path));
}

const flat = (prefix: string) => (at: string) => `${prefix}${at.replaceAll(".", "_")}`;

describe("an adapter that is inspected", () => {
  // kohya's trainer prints these numbers of modules for SDXL: 722 of the U-Net, 72 and 264 less 72 of the text encoders.
  it("of kohya's for SDXL has 722 layers in the U-Net, 72 and 192 in the text encoders, and fits SDXL alone", async () => {
    const unet = transformers(unetShapes(knownUnets.SDXL)).map(
      ([name, shape]) => [`unet ${name}`, shape] as const,
    );
    const first = encoderLayers("CLIP ViT-L").map(([name, shape]) => [`te1 ${name}`, shape] as const);
    const second = encoderLayers("OpenCLIP ViT-bigG").map(([name, shape]) => [`te2 ${name}`, shape] as const);
    const original = sgmNames(unetConfig(knownUnets.SDXL));
    const file = await loraOf("sdxl.safetensors", [...unet, ...first, ...second], (key) => {
      const [network, at] = key.split(" ") as [string, string];
      return flat(`lora_${network}_`)(network === "unet" ? original(at)! : at);
    });
    const { networks, layers, fits } = await inspected("adapter", file);
    expect(Object.fromEntries(networks.map((one) => [one.network, one.layers]))).toEqual({
      unet: 722,
      text_encoder: 72,
      text_encoder_2: 192,
    });
    expect(networks[0]).toMatchObject({
      kinds: { LoRA: 722 },
      ranks: [1],
      targets: { attention: 560, "feed-forward": 140, projections: 22 },
    });
    expect(fits[0]).toEqual({ model: "SDXL", layers });
    expect(fits.filter((one) => one.layers === layers)).toHaveLength(1);
  });

  const all = { ...knownUnets, ...otherUnets };
  it.each(Object.keys(all) as (keyof typeof all)[])(
    "of %s fits it, before what it was made of",
    async (name) => {
      const layers = transformers(unetShapes(all[name]));
      const file = await loraOf(`${name}.safetensors`, layers, (at) => `unet.${at}`);
      const { fits } = await inspected("adapter", file);
      expect(fits[0]).toEqual({ model: name, layers: layers.length });
    },
  );

  it.each([
    ["dora-in", { DoRA: 19 }],
    ["full-and-norms", { "full difference": 41 }],
    ["locon-cp", { LoCon: 5, LoRA: 13 }],
    ["loha", { LoHa: 38 }],
    ["lokr", { LoKr: 38 }],
    ["peft-dora", { DoRA: 16 }],
  ])("is of the kinds of the golden file %s", async (name, kinds) => {
    const file = `${golden}adapters/koala-1b-tiny-${name}.safetensors`;
    const { networks, fits } = await inspected("adapter", file);
    const all: Record<string, number> = {};
    for (const one of networks)
      for (const [kind, count] of Object.entries(one.kinds)) all[kind] = (all[kind] ?? 0) + count;
    expect(all).toEqual(kinds);
    expect(fits).toEqual([]);
  });

  it("names the embedding that OneTrainer put into it, and is refused with a model's options", async () => {
    const file = `${golden}adapters/koala-1b-tiny-onetrainer.safetensors`;
    const { notes } = await inspected("adapter", file);
    expect(notes.join("\n")).toMatch(/embeddings in the same file: \S+/);
    await expect(inspectPath(file, { ema: true })).rejects.toThrow("ema: must be given with a model");
  });
});

describe("a textual inversion that is inspected", () => {
  const made = async (name: string, widths: Record<string, number[]>) => {
    const file = path.join(scratch, name);
    const tensors = Object.entries(widths).map(([key, shape]) => [key, f16(shape)] as const);
    await writeFile(file, serialize(new Map(tensors)));
    return file;
  };

  it("has a name, vectors and widths, and the models of those widths", async () => {
    const xl = await made("ink.safetensors", { clip_g: [2, 1280], clip_l: [2, 768] });
    expect(await inspected("embedding", xl)).toMatchObject({
      token: "ink",
      tensors: [
        { key: "clip_g", vectors: 2, width: 1280 },
        { key: "clip_l", vectors: 2, width: 768 },
      ],
      fits: expect.stringContaining("SDXL"),
    });
    const one = await made("moss.safetensors", { "<moss>": [768] });
    expect(await inspected("embedding", one)).toMatchObject({ token: "<moss>", fits: "Stable Diffusion 1" });
    const two = await made("sea.safetensors", { emb_params: [3, 1024] });
    expect(await inspected("embedding", two)).toMatchObject({ token: "sea", fits: "Stable Diffusion 2" });
    const tiny = `${golden}embeddings/sd2-tiny-ink-wash.safetensors`;
    expect(await inspected("embedding", tiny)).toMatchObject({ token: "<ink-wash>", fits: undefined });
  });

  it("says which tensor holds numbers that are not finite", async () => {
    const file = path.join(scratch, "nan.safetensors");
    const data = Float32Array.of(1, Number.NaN);
    await writeFile(file, serialize(new Map([["emb_params", { dtype: "F32", shape: [1, 2], data }]])));
    const { tensors } = await inspected("embedding", file);
    expect(tensors[0]!.problem).toContain("emb_params: must hold finite numbers, got NaN");
  });
});

/** @file Computes one stage: a text encoder, a U-Net or half an autoencoder, with every tensor that the file names. */

import { Generator } from "../../src/diffusion/random.js";
import { type Engine, floats, floatsOf, type Values } from "../../src/engine/engine.js";
import { clipText } from "../../src/models/clip.js";
import type { Trace } from "../../src/pipeline/component.js";
import { runOn } from "../../src/pipeline/run-autoencoder.js";
import { inTiles, type Planes } from "../../src/pipeline/vae-tiling.js";
import { input } from "../../src/tensor/operations.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { type Computed, type TensorData, tensorData } from "../conformance/check.js";
import { floatInput, type GoldenFile } from "../conformance/golden-file.js";
import { loadNetwork, recordTensors, runOnce, type StageNetworks, type StageVae } from "./networks.js";

/** `hidden_states.<i>`, `penultimate`, `last_hidden_state`, `pooler_output`, `text_embeds` */
export async function textStage(
  name: string,
  parts: StageNetworks,
  file: GoldenFile,
  engine: Engine,
): Promise<Computed> {
  const encoder = parts.textEncoders.find(({ component }) => component.name === name);
  if (!encoder) throw new Error(`inputs absent: the pipeline has no ${name}`);
  const { data, shape } = await file.input(`${name}.input_ids`);
  const ids: Values = { data: BigInt64Array.from(Array.from(data as ArrayLike<bigint>), BigInt), shape };
  const trace = (p: Parameters<typeof clipText>[0]) => {
    const { hidden, last, pooled, textEmbeds } = clipText(
      p,
      encoder.config,
      input("ids", [{ B: 2 }, shape[1]!], "int64"),
    );
    return {
      ...Object.fromEntries(hidden.map((h, i) => [`hidden_states.${i}`, h])),
      last_hidden_state: last,
      pooler_output: pooled,
      ...(textEmbeds && { text_embeds: textEmbeds }),
    };
  };
  const results = await runOnce(encoder.component, trace, { ids }, engine);
  const penultimate = results[`hidden_states.${encoder.config.layers - 1}`]!;
  return new Map([...Object.entries(results), ["penultimate", penultimate]]);
}

/** Every module's tensor that the file names, by its path, and `sample`. */
export async function unetStage(
  size: string,
  parts: StageNetworks,
  file: GoldenFile,
  engine: Engine,
): Promise<Computed> {
  const { unet } = parts;
  if (!unet) throw new Error("inputs absent: there is no U-Net");
  const sample = await floatInput(file, `unet.${size}.input.sample`);
  const time = await floatInput(file, `unet.${size}.input.timestep`);
  const B = sample.shape[0]!;
  const timestep = time.data.length === B ? time.data : new Float32Array(B).fill(time.data[0]!);
  const prefix = `unet.${size}.`;
  const names = new Set(file.names.filter((n) => n.startsWith(prefix)).map((n) => n.slice(prefix.length)));
  const inputs: Record<string, Values> = { sample, timestep: floats(timestep, B) };
  for (const name of ["encoder_hidden_states", "text_embeds", "time_ids"]) {
    if (file.names.includes(`unet.input.${name}`))
      inputs[name] = await floatInput(file, `unet.input.${name}`);
  }
  const order: string[] = [];
  const results = await runOnce(
    unet.component,
    (p) => {
      const { params, seen } = recordTensors(p);
      const { out } = unet.trace(params);
      return inTracedOrder(order, new Map([...seen, ["out", out!]]), names.add("out"));
    },
    inputs,
    engine,
  );
  return new Map(order.map((name) => [name === "out" ? "sample" : name, results[name]!]));
}

/** Mean, log-variance, deviation and a sample of the posterior; a tiny autoencoder's latents. */
export async function encodeStage(
  prefix: string,
  parts: StageNetworks,
  file: GoldenFile,
  engine: Engine,
): Promise<Computed> {
  const vae = vaeOf(parts);
  const image = await floatInput(file, `${prefix}input`);
  const results = await runHalf(prefix, vae, "encode", image, file, engine);
  const out = results.get("out")!;
  results.delete("out");
  const { latentChannels } = vae;
  if (out.shape[1] === latentChannels) return results.set("latents", out);
  return new Map([...results, ...Object.entries(posterior(out, latentChannels, seedOf(file)))]);
}

/** What the posterior was sampled with: a seed of up to 64 bits in the file's header. */
function seedOf({ metadata }: GoldenFile): bigint {
  const { posterior_seed: seed } = metadata;
  if (seed !== undefined && /^\d+$/.test(seed)) return BigInt(seed);
  const got = seed === undefined ? "none" : JSON.stringify(seed);
  throw new Error(`inputs absent: the file's metadata must hold posterior_seed, a whole number, got ${got}`);
}

/** `sample`, in about -1..1, and `image`, clamped to 0..1 */
export async function decodeStage(
  prefix: string,
  parts: StageNetworks,
  file: GoldenFile,
  engine: Engine,
): Promise<Computed> {
  const latents = await floatInput(file, `${prefix}input`);
  const results = await runHalf(prefix, vaeOf(parts), "decode", latents, file, engine);
  const out = results.get("out")!;
  results.delete("out");
  const image = floatsOf(out).map((x) => Math.min(Math.max(x / 2 + 0.5, 0), 1));
  return results.set("sample", out).set("image", { data: image, shape: out.shape });
}

function vaeOf({ vae }: StageNetworks): StageVae {
  if (!vae) throw new Error("inputs absent: there is no autoencoder");
  return vae;
}

/** One direction of an autoencoder: the inner tensors that the file names, and `out`. */
async function runHalf(
  prefix: string,
  vae: StageVae,
  side: "encode" | "decode",
  x: Values,
  file: GoldenFile,
  engine: Engine,
): Promise<Map<string, Values>> {
  const names = new Set(file.names.filter((n) => n.startsWith(prefix)).map((n) => n.slice(prefix.length)));
  const [B, C, H, W] = x.shape as [number, number, number, number];
  const tile = file.metadata[`${prefix}tile`];
  if (tile !== undefined) return new Map([["out", await runTiled(vae, side, x, Number(tile), engine)]]);
  const order: string[] = [];
  const results = await runOnce(
    side === "encode" ? vae.encoder : vae.decoder,
    (p) => {
      const { params, seen } = recordTensors(p);
      const out = vae[side](params, input("x", [{ B }, C, { H }, { W }]));
      return inTracedOrder(order, new Map([...seen, ["out", out]]), names.add("out"));
    },
    { x },
    engine,
  );
  return new Map(order.map((name) => [name, results[name]!]));
}

/** One direction of an autoencoder in tiles of so many pixels, image by image. x: [B, C, H, W] */
async function runTiled(
  vae: StageVae,
  side: "encode" | "decode",
  x: Values,
  tile: number,
  engine: Engine,
): Promise<Values> {
  const [B, channels, height, width] = x.shape as [number, number, number, number];
  const trace: Trace = (p) => ({ out: vae[side](p, input("x", [{ B: 1 }, channels, { H: 64 }, { W: 64 }])) });
  const session = await loadNetwork(vae[`${side}r`], trace, engine);
  const run = runOn(session, { from: "x", to: "out" });
  const cut = { tiling: vae.tiling, tile, scale: side === "encode" ? 1 / vae.factor : vae.factor };
  const size = channels * height * width;
  const images: Planes[] = [];
  for (let i = 0; i < B; i++) {
    const whole = { data: floatsOf(x).subarray(i * size, (i + 1) * size), channels, height, width };
    images.push(await inTiles(whole, cut, run));
  }
  await session.release();
  const [first] = images as [Planes];
  return floats(
    Float32Array.from(images.flatMap(({ data }) => [...data])),
    ...[B, first.channels, first.height, first.width],
  );
}

/** The traced tensors of `names`; fills `order` with their names in the order of computing. */
function inTracedOrder(order: string[], seen: ReadonlyMap<string, Tensor>, names: ReadonlySet<string>) {
  const selected = [...seen].filter(([name]) => names.has(name));
  order.splice(0, order.length, ...selected.map(([name]) => name));
  return Object.fromEntries(selected);
}

/** Kingma and Welling (arXiv 1312.6114); the log-variance is clamped as Diffusers does. moments: [B, 2C, h, w] */
function posterior(moments: Values, channels: number, seed: bigint): Record<string, TensorData> {
  const [B, , h, w] = moments.shape as [number, number, number, number];
  const size = channels * h * w;
  const part = (which: 0 | 1) => {
    const all = new Float32Array(B * size);
    for (let b = 0; b < B; b++) {
      const from = (2 * b + which) * size;
      all.set(floatsOf(moments).subarray(from, from + size), b * size);
    }
    return all;
  };
  const mean = part(0);
  const logvar = part(1).map((x) => Math.min(Math.max(x, -30), 20));
  const std = logvar.map((x) => Math.exp(0.5 * x));
  const noise = new Generator(seed).normal(B * size);
  const sampled = mean.map((m, i) => m + std[i]! * noise[i]!);
  const shaped = (data: Float32Array) => tensorData(data, B, channels, h, w);
  return { mean: shaped(mean), logvar: shaped(logvar), std: shaped(std), sampled: shaped(sampled) };
}

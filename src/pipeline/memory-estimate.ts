/**
 * @file Estimates the memory of a generation, component by component, and whether it fits: from configs and the
 * networks' graphs. Loads nothing. `bench/parts.ts` measures the same.
 */

import { arenaBytes } from "../engine/memory/peak.js";
import { InvalidRequest } from "../errors.js";
import { traceUnet } from "../models/trace.js";
import { input } from "../tensor/operations.js";
import { topological } from "../tensor/order.js";
import { Params, tracing } from "../tensor/params.js";
import { count, made, type Tensor } from "../tensor/tensor.js";
import type { Component } from "./component.js";
import type { Components } from "./components.js";
import { stateRules, states } from "./text-encoding.js";
import { smallerTiles } from "./vae-tiling.js";

/**
 * A batch; `passes` is the rows of one U-Net run, twice `batch` with guidance; `encodes` if it begins with an image;
 * `tile` the side of the autoencoder's tiles in pixels, if it works in tiles.
 */
export type GenerationSize = {
  width: number;
  height: number;
  batch: number;
  passes: number;
  encodes: boolean;
  tile?: number;
  /** Of the longest text; one window of the text encoder if left out. */
  tokens?: number;
};

/** Bytes of one component in a process of its own, less what the process takes without it. */
type ComponentBytes = {
  name: string;
  /** Highest while it is loaded. */
  load: number;
  /** Loaded, before it ran. */
  loaded: number;
  /** What its run keeps besides. */
  run: number;
  /** The highest of all. */
  peak: number;
};

/** Bytes of a run, with what the process takes by itself; `kept` if all components stay loaded. */
export type RunBytes = { components: readonly ComponentBytes[]; kept: number; oneByOne: number };

/** Node, ONNX Runtime and the worker before anything is loaded, as measured. */
export const runtimeBytes = 200e6;

/**
 * Measured beyond float32 weights: a share and a sum for the graph and what the allocator holds; while it is loaded, a second
 * copy of every convolution's kernel, because ONNX Runtime rearranges all of them before it frees the first.
 */
const [loadShare, steadyShare, perComponent] = [1.03, 1.08, 50e6];

/** Estimates what each component takes to generate at `size`. */
export function estimateMemory(components: Components, size: GenerationSize): RunBytes {
  const { family, unet, vae, textEncoders } = components;
  const [height, width] = [size.height / vae.factor, size.width / vae.factor];
  const most = (size.tile ?? Infinity) / vae.factor;
  const [rows, columns] = [Math.min(height, most), Math.min(width, most)];
  const scope = () => new Params(tracing());
  const texts = textEncoders.map(({ component, config }) => {
    return componentBytes(
      component.name,
      component,
      states(scope(), config, { rule: stateRules[family], batch: size.passes }),
    );
  });
  const pixels = input("image", [{ B: 1 }, 3, { H: rows * vae.factor }, { W: columns * vae.factor }]);
  const encoder = size.encodes
    ? [componentBytes("vae encoder", vae.component, { encoded: vae.encode(scope(), pixels) })]
    : [];
  const out = traceUnet(scope(), unet.config, {
    ...{ batch: size.passes, height, width },
    ...(size.tokens !== undefined && { tokens: size.tokens }),
  });
  const latents = input("latents", [{ B: 1 }, vae.latentChannels, { H: rows }, { W: columns }]);
  const image = vae.decode(scope(), latents);
  const each = [
    ...texts,
    ...encoder,
    componentBytes("unet", unet.component, { out }),
    componentBytes("vae", vae.component, { image }),
  ];
  return {
    components: each,
    kept: runtimeBytes + keptPeak(each),
    oneByOne: runtimeBytes + Math.max(...each.map((p) => p.peak)),
  };
}

function componentBytes(name: string, component: Component, outputs: Record<string, Tensor>): ComponentBytes {
  const params = topological(Object.values(outputs)).filter((x) => made("param", x));
  const size = (some: readonly Tensor[]) => some.reduce((sum, x) => sum + 4 * count(x.shape), 0);
  const weights = size(params);
  // With a LoRA all weights are given from memory, of which ONNX Runtime makes a copy.
  const given = component.changes.size > 0 ? weights : 0;
  const load = Math.round(
    loadShare * weights + size(params.filter((x) => x.rank === 4)) + perComponent + given,
  );
  const [loaded, run] = [Math.round(steadyShare * weights + perComponent), arenaBytes(outputs)];
  return { name, load, loaded, run, peak: Math.max(load, loaded + run) };
}

/** Components are loaded one after the other, and each keeps what its run took. */
function keptPeak(components: readonly ComponentBytes[]): number {
  let [held, peak] = [0, 0];
  for (const component of components) {
    peak = Math.max(peak, held + component.peak);
    if (component.name !== "vae encoder") held += component.loaded + component.run; // is freed for the decoder
  }
  return peak;
}

/** Whether it fits with all components loaded, with one at a time, or not at all. `available`: bytes that a process may still take. */
export function planMemory({ kept, oneByOne }: RunBytes, available: number): "kept" | "one by one" | "no" {
  if (kept - runtimeBytes <= available) return "kept";
  return oneByOne - runtimeBytes <= available ? "one by one" : "no";
}

/** Throws an InvalidRequest that says what would fit instead. */
export function refuse(
  components: Components,
  size: GenerationSize,
  bytes: RunBytes,
  available: number,
): never {
  const { width, height, batch } = size;
  const largest = bytes.components.reduce((a, b) => (b.peak > a.peak ? b : a));
  const gb = (n: number) => `${(n / 1e9).toFixed(2)} GB`;
  const needs = `${batch} of ${width}x${height} pixels takes ${gb(largest.peak)} (${largest.name})`;
  const smaller = fittingInstead(components, size, available);
  const remedy = smaller
    ? `${smaller} would fit.`
    : "No smaller size fits either: free memory, or take a smaller model.";
  const override = "To try all the same: ignoreMemory, --ignore-memory.";
  throw new InvalidRequest(
    "memory",
    available,
    `must suffice, got ${gb(available)} available: ${needs}. ${remedy} ${override}`,
  );
}

/** The same size with fewer images at once, else the largest of a few smaller sizes. */
function fittingInstead(components: Components, size: GenerationSize, available: number): string | undefined {
  const fits = (other: GenerationSize) => planMemory(estimateMemory(components, other), available) !== "no";
  const single = { ...size, batch: 1, passes: size.passes / size.batch };
  if (size.batch > 1 && fits(single)) return `One image at a time (${size.width}x${size.height})`;
  const tile = smallerTiles(components.vae.tiling, size).find((tile) => fits({ ...size, tile }));
  if (tile !== undefined) return `Decoding in tiles of ${tile} pixels (vaeTiling, --vae-tiling ${tile})`;
  const { factor } = components.vae;
  const scaled = (side: number, share: number) =>
    Math.max(factor, Math.floor((side * share) / factor) * factor);
  for (const share of [0.75, 0.5, 0.375, 0.25]) {
    const other = { ...single, width: scaled(size.width, share), height: scaled(size.height, share) };
    if (fits(other)) return `${size.batch > 1 ? "One image of " : ""}${other.width}x${other.height}`;
  }
  return undefined;
}

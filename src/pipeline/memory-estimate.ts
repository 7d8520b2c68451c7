/**
 * @file Estimates the memory of a generation, component by component, and whether it fits: from configs and the
 * networks' graphs, for the device that they run on. Loads nothing. `bench/parts.ts` measures the same.
 */

import { byteSize } from "../byte-size.js";
import { cpu, type Device } from "../engine/device.js";
import { InvalidRequest } from "../errors.js";
import { traceUnetAttention } from "../models/cross-attention.js";
import { traceUnet } from "../models/trace.js";
import { input } from "../tensor/operations.js";
import { Params, tracing } from "../tensor/params.js";
import { type AttentionSize, recordedBytes } from "./attention/memory.js";
import type { Component } from "./component.js";
import { type ComponentBytes, componentBytes, isMeasured, type TracedComponent } from "./component-memory.js";
import type { Networks } from "./components.js";
import type { SafetyChecker } from "./safety-checker.js";
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
  /** Whether images are checked, where the model has a safety checker; true if left out. */
  checked?: boolean;
  /** With attention maps. */
  attention?: AttentionSize;
};

/**
 * Bytes of a run; `kept` if all components stay loaded. On the CPU with what the process takes by itself, elsewhere of the
 * device's memory.
 */
export type RunBytes = {
  components: readonly ComponentBytes[];
  kept: number;
  oneByOne: number;
  /** Of these what is taken without any component. */
  base: number;
  /** Whether such estimates were compared with measurements, or come from documentation alone. */
  basis: "measured" | "computed";
};

/** Node, ONNX Runtime and the worker before anything is loaded, as measured. */
export const runtimeBytes = 200e6;

/** What a device's context takes by itself: measured on lavapipe. */
const contextBytes = 4e6;

/** Estimates what each component takes to generate at `size` on a device. */
export function estimateMemory(components: Networks, size: GenerationSize, device: Device = cpu): RunBytes {
  const { family, unet, vae, textEncoders, safetyChecker } = components;
  const [height, width] = [size.height / vae.factor, size.width / vae.factor];
  const most = (size.tile ?? Infinity) / vae.factor;
  const [rows, columns] = [Math.min(height, most), Math.min(width, most)];
  const scope = () => new Params(tracing());
  const pixels = input("image", [{ B: 1 }, 3, { H: rows * vae.factor }, { W: columns * vae.factor }]);
  const unetSize = {
    ...{ batch: size.passes, height, width },
    ...(size.tokens !== undefined && { tokens: size.tokens }),
  };
  const predicted = size.attention
    ? traceUnetAttention(scope(), unet.config, unetSize, size.attention)
    : { out: traceUnet(scope(), unet.config, unetSize) };
  const latents = input("latents", [{ B: 1 }, vae.latentChannels, { H: rows }, { W: columns }]);
  const traced: TracedComponent[] = [
    ...textEncoders.map(({ component, config, vectors }) => {
      const rule = stateRules[family];
      const outputs = states(scope(), config, { rule, batch: size.passes, replaces: vectors !== undefined });
      return { name: component.name, component, outputs };
    }),
    ...(size.encodes
      ? [{ name: encoder, component: vae.component, outputs: { encoded: vae.encode(scope(), pixels) } }]
      : []),
    { name: "unet", component: unet.component, outputs: predicted },
    { name: "vae", component: vae.component, outputs: { image: vae.decode(scope(), latents) } },
    ...(safetyChecker && size.checked !== false ? [tracedChecker(safetyChecker)] : []),
  ];
  const each = traced.map((one) => componentBytes(one, one.component.lowered(device)));
  // What the maps take lies on the host.
  const base =
    device.provider === "cpu" ? runtimeBytes + recordedBytes(predicted, size.attention) : contextBytes;
  return {
    components: each,
    kept: base + (device.provider === "webgpu" ? sharedPeak(each) : keptPeak(each)),
    oneByOne: base + Math.max(...each.map((p) => p.peak)),
    base,
    basis: isMeasured(device) ? "measured" : "computed",
  };
}

const tracedChecker = ({ component, trace }: SafetyChecker): TracedComponent => ({
  ...{ name: component.name, component },
  outputs: trace(new Params(tracing())),
});

/** The first half of the autoencoder, which is freed for the second. */
const encoder = "vae encoder";

/** What a loaded component's weights hold: at least that is free again once it is released. */
export function heldBytes({ name, bytes }: Component, { components }: RunBytes): number {
  return Math.min(bytes, components.find((one) => one.name === name)?.loaded ?? bytes);
}

/** All weights, and the buffers of the largest run, which all sessions of a device share. */
function sharedPeak(components: readonly ComponentBytes[]): number {
  const loaded = components.filter(({ name }) => name !== encoder);
  return (
    loaded.reduce((sum, component) => sum + component.loaded, 0) +
    Math.max(...components.map(({ run }) => run))
  );
}

/** Components are loaded one after the other, and each keeps what its run took. */
function keptPeak(components: readonly ComponentBytes[]): number {
  let [held, peak] = [0, 0];
  for (const component of components) {
    peak = Math.max(peak, held + component.peak);
    if (component.name !== encoder) held += component.loaded + component.run; // is freed for the decoder
  }
  return peak;
}

/**
 * Whether it fits with all components loaded, with one at a time, or not at all. `available`: bytes that a process may
 * still take; where they are not known, components are freed in turn and nothing is refused.
 */
export function planMemory(
  { kept, oneByOne, base }: RunBytes,
  available: number | undefined,
): "kept" | "one by one" | "no" {
  if (available === undefined) return "one by one";
  if (kept - base <= available) return "kept";
  return oneByOne - base <= available ? "one by one" : "no";
}

/** Throws an InvalidRequest that says what would fit instead. */
export function refuse(
  components: Networks,
  size: GenerationSize,
  bytes: RunBytes,
  { available, device = cpu }: { available: number; device?: Device },
): never {
  const { width, height, batch } = size;
  const largest = bytes.components.reduce((a, b) => (b.peak > a.peak ? b : a));
  const needs = `${batch} of ${width}x${height} pixels takes ${byteSize(largest.peak)} (${largest.name})`;
  const smaller = fittingInstead(components, size, { available, device });
  const remedy = smaller
    ? `${smaller} would fit.`
    : "No smaller size fits either: free memory, or take a smaller model.";
  const more = device.provider === "cpu" ? "" : " If it has more: deviceMemory, --device-memory.";
  const override = `${more} To try all the same: ignoreMemory, --ignore-memory.`.trim();
  throw new InvalidRequest(
    "memory",
    available,
    `must suffice, got ${byteSize(available)} available: ${needs}. ${remedy} ${override}`,
  );
}

/** The same size with fewer images at once, else the largest of a few smaller sizes. */
function fittingInstead(
  components: Networks,
  size: GenerationSize,
  { available, device }: { available: number; device: Device },
): string | undefined {
  const fits = (other: GenerationSize) =>
    planMemory(estimateMemory(components, other, device), available) !== "no";
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

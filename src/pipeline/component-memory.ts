/** @file What one component takes of its device's memory: its weights as the device holds them, and what a run takes besides. */

import type { Device, Provider } from "../engine/device.js";
import { arenaBytes, peakBytes } from "../engine/memory/peak.js";
import { poolBytes } from "../engine/memory/pool-bytes.js";
import { deviceGraph } from "../engine/rewrite/device-graph.js";
import { topological } from "../tensor/order.js";
import { count, made, type Tensor } from "../tensor/tensor.js";
import type { Component } from "./component.js";

/** Bytes of one component in a process of its own, less what the process takes without it. */
export type ComponentBytes = {
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

/** A component and its traced results. */
export type TracedComponent = {
  name: string;
  component: Component;
  outputs: Readonly<Record<string, Tensor>>;
};

type Estimate = Pick<ComponentBytes, "load" | "loaded" | "run">;

/** `device`: as the component's programs are lowered for it. */
export function componentBytes(traced: TracedComponent, device: Device): ComponentBytes {
  const { load, loaded, run } = rules[device.provider](traced, device);
  return { name: traced.name, load, loaded, run, peak: Math.max(load, loaded + run) };
}

/** Whether the estimate was compared with measurements (docs/log.md). */
export const isMeasured = ({ provider, dtype }: Device): boolean =>
  provider === "cpu" || (provider === "webgpu" && dtype === "float32");

const paramsOf = (outputs: TracedComponent["outputs"]) =>
  topological(Object.values(outputs)).filter((x) => made("param", x));

const total = (some: readonly Tensor[], each: (x: Tensor<"param">) => number = () => 4) =>
  (some as readonly Tensor<"param">[]).reduce((sum, x) => sum + each(x) * count(x.shape), 0);

/**
 * Measured on the CPU beyond float32 weights: a share and a sum for the graph and what the allocator holds; while it is
 * loaded, a second copy of every convolution's kernel, because ONNX Runtime rearranges all of them before it frees the
 * first.
 */
const [loadShare, steadyShare, perComponent] = [1.03, 1.08, 50e6];

/** What a transformed kernel takes besides: 36 numbers for 9. */
const transformedShare = 36 / 9 - 1;

function onCpu({ component, outputs }: TracedComponent, device: Device): Estimate {
  if (device.weightsAsStored) return storedOnCpu(component, outputs, device);
  if (device.weights !== "stored") return quantizedOnCpu(outputs, device);
  const graph = deviceGraph(outputs, device);
  const params = paramsOf(graph);
  const weights = total(params);
  // With a LoRA all weights are given from memory, of which ONNX Runtime makes a copy.
  const given = component.changes.size > 0 ? weights : 0;
  const kernels = winogradKernels(graph);
  const transformed = transformedShare * total([...kernels]);
  const doubled = total(params.filter((x) => x.rank === 4 && !kernels.has(x)));
  return {
    load: Math.round(loadShare * weights + transformed + doubled + perComponent + given),
    loaded: Math.round(steadyShare * weights + transformed + perComponent),
    run: arenaBytes(outputs, device),
  };
}

/** Kernels that are held as Winograd's F(4x4, 3x3) transforms them. */
const winogradKernels = (graph: TracedComponent["outputs"]): Set<Tensor> =>
  new Set(
    topological(Object.values(graph)).flatMap((x) => (made("winogradConv2d", x) ? [x.inputs[1]!] : [])),
  );

/**
 * LoRAs are in the file of the cache already. Kernels are doubled before quantised weights are repacked, so what these
 * take is free for them: measured of KOALA-700M and SD 2.
 */
function quantizedOnCpu(outputs: TracedComponent["outputs"], device: Device): Estimate {
  const params = paramsOf(deviceGraph(outputs, device));
  const weights = total(params, bytesPerElement);
  const kernels = total(params.filter((x) => x.rank === 4));
  const codes = total(params.filter(isCode), bytesPerElement);
  return {
    load: Math.round(loadShare * weights + Math.max(0, kernels - codes) + perComponent),
    loaded: Math.round(steadyShare * weights + perComponent),
    run: arenaBytes(outputs, device),
  };
}

const isCode = ({ dtype }: Tensor): boolean => dtype === "uint8" || dtype === "int8";
const bytesPerElement = (x: Tensor): number => (isCode(x) ? 1 : 4);

/** Each weight is widened before it is used, and the wider copy is freed. */
function storedOnCpu(
  { weights: { tensors } }: Component,
  outputs: TracedComponent["outputs"],
  device: Device,
) {
  const params = paramsOf(deviceGraph(outputs, device)) as readonly Tensor<"param">[];
  const bytes = (x: Tensor<"param">) => {
    const stored = tensors.get(x.attrs.path);
    const isFloat32 = !stored || device.widenedAsRead.includes(stored.dtype); // scales are in no file of the model
    return isCode(x) ? count(x.shape) : isFloat32 ? 4 * count(x.shape) : stored.length;
  };
  const weights = params.reduce((sum, x) => sum + bytes(x), 0) + perComponent;
  const widest = 4 * Math.max(...params.filter((x) => !isCode(x)).map(({ shape }) => count(shape)));
  return { load: weights, loaded: weights, run: arenaBytes(outputs, device) + widest };
}

/** Weights lie there as stored, in 16 bits or 32, and are widened one by one; other types are widened at load. */
function onWebGpu({ component, outputs }: TracedComponent, device: Device): Estimate {
  const params = paramsOf(deviceGraph(outputs, device));
  const types = component.weights.tensors;
  // Without files there are only configs: of the Hub half precision is downloaded where there is some.
  const stored = (path: string) => (types.get(path)?.file ? types.get(path)!.dtype : "F16");
  const widensAtLoad = params.some(
    (x) => !["F16", "F32"].includes(stored((x as Tensor<"param">).attrs.path)),
  );
  const isHalf = (path: string) => !widensAtLoad && stored(path) === "F16" && component.changes.size === 0;
  const weights = total(params, ({ attrs }) => (isHalf(attrs.path) ? 2 : 4));
  return { load: weights, loaded: weights, run: poolBytes(outputs, device, isHalf) };
}

/** From documentation: weights and results in the device's type, and an arena that gives nothing back. */
function onOther({ outputs }: TracedComponent, device: Device): Estimate {
  const share = device.dtype === "float16" ? 0.5 : 1;
  const weights = share * total(paramsOf(outputs));
  return { load: weights, loaded: weights, run: Math.ceil(share * peakBytes(outputs, { device }).peak) };
}

const rules: Readonly<Record<Provider, (traced: TracedComponent, device: Device) => Estimate>> = {
  cpu: onCpu,
  webgpu: onWebGpu,
  cuda: onOther,
  dml: onOther,
  coreml: onOther,
};

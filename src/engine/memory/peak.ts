/**
 * @file Estimates what a program's intermediate results take in memory: which buffers are alive at once when ONNX
 * Runtime's CPU provider executes its graph. Runs nothing. Independent of models.
 *
 * Compared with the live bytes of an allocator without fragmentation it was exact to a tenth (`bench/memory.ts`).
 */

import { count, made, type Tensor } from "../../tensor/tensor.js";
import { cpu, type Device } from "../device.js";
import { eliminateCommonSubexpressions } from "../rewrite/common-subexpressions.js";
import { deviceGraph } from "../rewrite/device-graph.js";
import type { Graph } from "../rewrite/graph.js";
import { Arena } from "./arena.js";
import { bytes, planBuffers, replayBuffers } from "./buffers.js";
import { executionOrder } from "./execution-order.js";
import { nchwcGraph } from "./nchwc.js";

export type MemoryOptions = {
  device?: Device;
  /** Only as initialisers do they let ONNX Runtime compute convolutions in blocks of channels; training needs inputs. */
  weights?: "initialisers" | "inputs";
  /** Names of results that are written into the caller's memory (`runInto`). */
  given?: ReadonlySet<string>;
  /** Whether memory is kept for the next run (`keepsMemory`), in an arena, which fragments. */
  arena?: boolean;
  /** Threads of one operation: some convolutions have a workspace for each. */
  threads?: number;
};

/** Bytes. */
export type Footprint = {
  /** The most that is held at once: intermediate and final results, workspaces, and the arena's fragmentation. */
  peak: number;
  /** Given results, of which ONNX Runtime's Node binding nevertheless returns a copy after each run. */
  returned: number;
  /** Weights, inputs, constants and given results, which are held before and after a run. */
  resident: number;
  /** Of these the constants. */
  constants: number;
};

/** The arena holds more than is alive, because free chunks do not fit: 1.05 to 1.5 times as much was measured. */
const fragmentation = 1.25;

/** The memory of one run of the program that `lower` makes of `outputs`, at the sizes it was traced at. */
export function peakBytes(
  outputs: Readonly<Record<string, Tensor>>,
  {
    device = cpu,
    weights = "initialisers",
    given = new Set(),
    threads = 2,
    arena = true,
  }: MemoryOptions = {},
): Footprint {
  const graph = executedGraph(outputs, device);
  const roots = Object.values(graph);
  const steps = executionOrder(roots);
  const outside = new Set(Object.entries(graph).flatMap(([name, x]) => (given.has(name) ? [x] : [])));
  const fixed = steps.every((x) => !made("input", x) || x.attrs.open.every((name) => name === undefined));
  const buffers = planBuffers(steps, roots, { outside, fixed });
  const total = (some: Iterable<Tensor>) => [...some].reduce((sum, x) => sum + bytes(x), 0);
  const returned = total(outside);
  const constants = total(steps.filter((x) => made("constant", x)));
  const leaves = total(steps.filter((x) => x.inputs.length === 0));

  const change = new Float64Array(steps.length + 1);
  for (const { size, first, last } of buffers) {
    change[first]! += size;
    change[last + 1]! -= size;
  }
  let [live, peak] = [0, 0];
  for (const [i, x] of steps.entries()) {
    live += change[i]!;
    peak = Math.max(peak, live + workspace(x, { weights, threads }));
  }
  return {
    peak: Math.ceil(peak * (arena ? fragmentation : 1)),
    returned,
    resident: leaves + returned,
    constants,
  };
}

/**
 * What the arena of a loaded program with open sizes has taken after a run at the sizes it was traced at. It is the
 * peak and, because an arena gives nothing back, what it keeps. For programs that plan no memory for whole runs
 * (`plansMemory`), such as those of the worker thread.
 */
export function arenaBytes(outputs: Readonly<Record<string, Tensor>>, device: Device = cpu): number {
  const ends = Object.values(executedGraph(outputs, device));
  const { roots, index } = nchwcGraph(executionOrder(ends), ends);
  const steps = executionOrder(roots, index);
  const buffers = planBuffers(steps, roots, { outside: new Set(), fixed: false });
  const arena = new Arena();
  replayBuffers(steps, buffers, arena, copies);
  return arena.touched;
}

/** The graph as ONNX Runtime executes it. */
const executedGraph = (outputs: Graph, device: Device): Graph =>
  eliminateCommonSubexpressions(deviceGraph(outputs, device));

/** What an operation needs beside its inputs and its result. */
function workspace(
  x: Tensor,
  { weights, threads }: Required<Pick<MemoryOptions, "weights" | "threads">>,
): number {
  // Heads are put beside each other in copies of queries, keys and values before they are multiplied block by block.
  if (made("attention", x)) return x.inputs.reduce((sum, y) => sum + bytes(y), 0);
  if (made("conv2d", x)) {
    const [image, kernel] = x.inputs as [Tensor, Tensor];
    if (weights === "initialisers") return Math.max(bytes(image), bytes(x)); // channels in blocks of eight
    return 4 * unfolded(kernel, x, threads);
  }
  if (made("conv2dTranspose", x)) {
    const [g, kernel] = x.inputs as [Tensor, Tensor];
    return (4 * count(kernel.shape.slice(1)) * count(g.shape)) / (g.shape[0]! * g.shape[1]!);
  }
  if (made("rowQuantizedConv2d", x)) return sum(quantizedCopies(x));
  if (made("winogradConv2d", x)) return sum(winogradCopies(x));
  if (made("step", x)) return count(x.shape); // the comparison's booleans
  return 0;
}

/** What an operation takes from the arena beside its result: attention puts heads side by side. */
const copies = (x: Tensor): number[] => {
  if (made("attention", x)) return x.inputs.map(bytes);
  if (made("winogradConv2d", x)) return winogradCopies(x);
  return made("rowQuantizedConv2d", x) ? quantizedCopies(x) : [];
};

const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);

/**
 * The tiles of one band, transformed and multiplied. The image with channels last takes the place of the image, the bands
 * that of the result.
 */
function winogradCopies(x: Tensor<"winogradConv2d">): number[] {
  const [O, C] = x.inputs[1]!.shape as [number, number];
  const { tile, bands } = x.attrs;
  const tiled = ((bytes(x) / O) * (tile + 2) ** 2) / tile ** 2 / bands; // of one channel
  return [C * tiled, Math.max(C, O) * tiled];
}

/** The image in bytes, channels last, each pixel's window in pieces and as one, and the result with channels last. */
function quantizedCopies(x: Tensor<"rowQuantizedConv2d">): number[] {
  const [image, codes] = x.inputs as [Tensor, Tensor];
  const [K, O] = codes.shape as [number, number];
  const windows = (count(x.shape) / O) * K;
  return [count(image.shape), count(image.shape), windows, windows, bytes(x)];
}

/** The image with each pixel's window written out (`mlas/lib/convolve.cpp`, MlasConvPrepare). */
function unfolded(kernel: Tensor, x: Tensor, threads: number): number {
  const [B, O, height, width] = x.shape as [number, number, number, number];
  const columns = height * width * count(kernel.shape.slice(1));
  if (kernel.shape[2] === 1 && kernel.shape[3] === 1) return 0;
  if (O > height * width) return columns;
  return B === 1 ? 0 : Math.min(threads, B) * Math.max(columns, O * height * width);
}

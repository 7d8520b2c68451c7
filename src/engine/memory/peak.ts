/**
 * @file What a program's intermediate results take in memory, predicted from its traced graph: which buffers are alive
 * at once when ONNX Runtime's CPU provider executes it. Runs nothing. Must not know models.
 *
 * The rules are ONNX Runtime's (`core/framework/allocation_planner.cc`, `graph_viewer.cc`): a buffer lives from its
 * operation to its last use; a reshape is the same buffer; an operation on single elements writes over an input that
 * nobody else reads; where sizes are fixed, a dead buffer is kept if a later result has its shape. Against the live
 * bytes that an allocator without holes shows, this was exact to a tenth (`bench/memory.ts` measures).
 */

import * as t from "../../tensor/operations.js";
import { constant, keep } from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import { count, made, type Op, sameShape, Tensor } from "../../tensor/tensor.js";
import { cpu, type Device } from "../device.js";
import { channelsLast } from "../rewrite/channels-last.js";
import { Arena, type Chunk } from "./arena.js";
import { blocked } from "./nchwc.js";

export type MemoryOptions = {
  device?: Device;
  /** As initialisers they let ONNX Runtime rearrange convolutions; as inputs, which training needs, they do not. */
  weights?: "initialisers" | "inputs";
  /** Names of results that are written into memory of the caller's (`runInto`). */
  given?: ReadonlySet<string>;
  /** Whether memory is kept for the next run (`keepsMemory`), in an arena, and so with holes. */
  arena?: boolean;
  /** Another order of execution than ONNX Runtime's. */
  order?: readonly Tensor[];
  /** Threads of one operation: some convolutions have a workspace for each. */
  threads?: number;
};

/** Bytes. */
export type Footprint = {
  /** Most that is held at once for what the program computes, with workspaces, its results and the arena's holes. */
  peak: number;
  /** Given results, of which ONNX Runtime's Node binding returns a copy after each run all the same. */
  returned: number;
  /** Weights, inputs, constants and given results: there before and after. */
  resident: number;
  /** Of these the constants. */
  constants: number;
};

/** The arena holds more than is alive, because free pieces do not fit: 1.05 to 1.5 times as much was measured. */
const holes = 1.25;

/** Predicts the memory of one run of the program that `lower` makes of `outputs`, at the sizes it was traced at. */
export function peakBytes(
  outputs: Readonly<Record<string, Tensor>>,
  {
    device = cpu,
    weights = "initialisers",
    given = new Set(),
    threads = 2,
    arena = true,
    order,
  }: MemoryOptions = {},
): Footprint {
  const graph = device.channelsLast ? channelsLast(outputs) : outputs;
  const merged = merge(Object.values(graph), device);
  const roots = Object.values(graph).map((x) => merged.get(x)!);
  const steps = order?.map((x) => merged.get(x)!) ?? executionOrder(roots);
  const outside = new Set(
    Object.entries(graph).flatMap(([name, x]) => (given.has(name) ? [merged.get(x)!] : [])),
  );
  const fixed = steps.every((x) => !made("input", x) || x.attrs.open.every((name) => name === undefined));
  const buffers = plan(steps, roots, { outside, fixed });
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
  return { peak: Math.ceil(peak * (arena ? holes : 1)), returned, resident: leaves + returned, constants };
}

/**
 * What the arena of a loaded program with open sizes has taken after a run at the sizes it was traced at: its peak, and,
 * because an arena gives nothing back, what it keeps. Without plans for whole runs (`Program`s of the worker).
 */
export function arenaBytes(outputs: Readonly<Record<string, Tensor>>, device: Device = cpu): number {
  const merged = merge(Object.values(outputs), device);
  const ends = Object.values(outputs).map((x) => merged.get(x)!);
  const { roots, index } = blocked(executionOrder(ends), ends);
  const steps = executionOrder(roots, index);
  const buffers = plan(steps, roots, { outside: new Set(), fixed: false }).filter(({ size }) => size > 0);
  const arena = new Arena();
  const at = (end: "first" | "last") => {
    const lists = steps.map((): Buffer[] => []);
    for (const buffer of buffers) lists[buffer[end]]!.push(buffer);
    return lists;
  };
  const [starting, ending] = [at("first"), at("last")];
  const chunks = new Map<Buffer, Chunk>();
  for (const [i, x] of steps.entries()) {
    for (const buffer of starting[i]!) chunks.set(buffer, arena.take(buffer.size));
    for (const chunk of copies(x).map((size) => arena.take(size))) arena.release(chunk);
    for (const buffer of ending[i]!) arena.release(chunks.get(buffer)!);
  }
  return arena.touched;
}

/** `first` and `last`: the steps between which it is kept. */
type Buffer = { size: number; shape: string; first: number; last: number; uses: number; leaf: boolean };

/**
 * Which buffer each result takes, step by step: its input's, a dead one that was made for the same shape, or a new one.
 * A dead one that is taken again has not been freed in between, which is what makes training keep more than it needs.
 */
function plan(
  steps: readonly Tensor[],
  roots: readonly Tensor[],
  { outside, fixed }: { outside: ReadonlySet<Tensor>; fixed: boolean },
): Buffer[] {
  const uses = new Map<Tensor, number>();
  for (const x of steps) for (const y of values(x)) uses.set(y, (uses.get(y) ?? 0) + 1);
  const results = new Set(roots);
  const at = new Map<Tensor, Buffer>();
  const all: Buffer[] = [];
  const dead = new Map<string, Buffer[]>();
  const release = (buffer: Buffer, i: number) => {
    buffer.last = Math.max(buffer.last, i);
    if (buffer.uses > 0 || buffer.leaf) return;
    const others = dead.get(buffer.shape);
    if (others) others.push(buffer);
    else dead.set(buffer.shape, [buffer]);
  };
  for (const [i, x] of steps.entries()) {
    const leaf = x.inputs.length === 0 || outside.has(x);
    const result = results.has(x) && !leaf;
    const shape = `${x.dtype}[${x.shape.join()}]`;
    const own = leaf || result;
    const input = own ? undefined : made("reshape", x) ? x.inputs[0] : overwritten(x, at);
    const taken = input ? at.get(input) : own || x.rank === 0 || !fixed ? undefined : dead.get(shape)?.pop();
    const fresh = { size: leaf ? 0 : bytes(x), shape, first: i, last: i, uses: 0, leaf: own };
    const buffer = taken ?? fresh;
    if (!taken) all.push(buffer);
    buffer.uses += uses.get(x) ?? 0;
    at.set(x, buffer);
    if (result) buffer.last = steps.length - 1;
    for (const y of values(x)) {
      const read = at.get(y)!;
      read.uses--;
      if (read.uses === 0 && read !== buffer) release(read, i);
      else read.last = Math.max(read.last, i);
    }
    if (buffer.uses === 0) release(buffer, i);
  }
  return all;
}

const bytes = (x: Tensor): number => (x.dtype === "int64" ? 8 : 4) * count(x.shape);

/** What an operation reads numbers of; of the others only the shape is taken, which keeps nothing alive. */
const values = (x: Tensor): readonly Tensor[] =>
  made("reshape", x) || made("resize", x) || made("expand", x) ? x.inputs.slice(0, 1) : x.inputs;

const elementwise: ReadonlySet<Op> = new Set([
  "add",
  "sub",
  "mul",
  "div",
  "neg",
  "exp",
  "log",
  "sqrt",
  "erf",
  "tanh",
  "sigmoid",
  "relu",
] satisfies Op[]);

/** The input whose buffer the result may take: of the same shape, computed here, and read by nobody else. */
function overwritten(x: Tensor, at: ReadonlyMap<Tensor, Buffer>): Tensor | undefined {
  if (!elementwise.has(x.op)) return undefined;
  const free = (y: Tensor) => at.get(y)!.uses === 1 && !at.get(y)!.leaf;
  return x.inputs.find((y) => free(y) && sameShape(x.shape, y.shape));
}

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
  if (made("step", x)) return count(x.shape); // the comparison's booleans
  return 0;
}

/** What an operation takes from the arena beside its result: attention puts heads side by side. */
const copies = (x: Tensor): number[] => (made("attention", x) ? x.inputs.map(bytes) : []);

/** The image with each pixel's neighbourhood written out (`mlas/lib/convolve.cpp`, MlasConvPrepare). */
function unfolded(kernel: Tensor, x: Tensor, threads: number): number {
  const [B, O, height, width] = x.shape as [number, number, number, number];
  const columns = height * width * count(kernel.shape.slice(1));
  if (kernel.shape[2] === 1 && kernel.shape[3] === 1) return 0;
  if (O > height * width) return columns;
  return B === 1 ? 0 : Math.min(threads, B) * Math.max(columns, O * height * width);
}

/**
 * ONNX Runtime's order: depth first from the results, later ones and later inputs first
 * (`GraphViewer`, by node index).
 */
export function executionOrder(
  roots: readonly Tensor[],
  index: ReadonlyMap<Tensor, number> = new Map(topological(roots).map((x, i) => [x, i])),
): Tensor[] {
  const later = (a: Tensor, b: Tensor) => index.get(a)! - index.get(b)!;
  const stack = roots.toSorted(later).map((x) => ({ x, entered: false }));
  const seen = new Set<Tensor>();
  const order: Tensor[] = [];
  while (stack.length > 0) {
    const top = stack.pop()!;
    if (top.entered) order.push(top.x);
    else if (!seen.has(top.x)) {
      seen.add(top.x);
      stack.push({ x: top.x, entered: true });
      for (const y of top.x.inputs.toSorted(later)) if (!seen.has(y)) stack.push({ x: y, entered: false });
    }
  }
  return order;
}

/** The graph behind `outputs` as a device without convolutions of its own computes it, equal computations once. */
export function executed(outputs: readonly Tensor[], device: Device = cpu): Tensor[] {
  const merged = merge(outputs, device);
  return outputs.map((x) => merged.get(x)!);
}

/** Each tensor as it is executed: composed attention written out, and equal computations done once. */
function merge(outputs: readonly Tensor[], device: Device): Map<Tensor, Tensor> {
  const known = new Map<string, Tensor>();
  const ids = new Map<Tensor, number>();
  const merged = new Map<Tensor, Tensor>();
  const enter = (x: Tensor): Tensor => {
    for (const y of topological([x])) if (!merged.has(y)) merged.set(y, enterOne(y));
    return merged.get(x)!;
  };
  const enterOne = (x: Tensor): Tensor => {
    if (made("attention", x) && (!device.fusedAttention || x.attrs.causal)) {
      const [q, k, v] = x.inputs.map((y) => merged.get(y)!) as [Tensor, Tensor, Tensor];
      return enter(composed(x, q, k, v));
    }
    const inputs = x.inputs.map((y) => merged.get(y)!);
    const key = keyOf(x, inputs, ids);
    const twin = key === undefined ? undefined : known.get(key);
    if (twin) return twin;
    const same = inputs.every((y, i) => y === x.inputs[i]);
    const own = same ? x : new Tensor(x.op, inputs, x.shape, x.attrs, x.dtype);
    ids.set(own, ids.size);
    if (key !== undefined) known.set(key, own);
    return own;
  };
  for (const x of outputs) enter(x);
  return merged;
}

function keyOf(x: Tensor, inputs: readonly Tensor[], ids: ReadonlyMap<Tensor, number>): string | undefined {
  if (made("constant", x))
    return x.attrs.data.length > 64 ? undefined : `${x.shape.join()}:${x.attrs.data.join()}`;
  return `${x.op}${JSON.stringify(x.attrs)}(${inputs.map((y) => ids.get(y)).join()})`;
}

/** The nodes that lowering writes for attention without a fused operator, and the gradient again. */
function composed({ attrs, shape }: Tensor<"attention">, q: Tensor, k: Tensor, v: Tensor): Tensor {
  const [, N, D] = shape as [number, number, number];
  const split = (x: Tensor, perm: readonly number[] = [0, 2, 1, 3]) =>
    t.transpose(t.reshape(x, [keep, keep, attrs.heads, D / attrs.heads]), perm);
  const scores = t.matmul(t.mul(split(q), attrs.scale), split(k, [0, 2, 3, 1]));
  const masked = attrs.causal ? t.add(scores, constant(new Float32Array(N * N), [N, N])) : scores;
  return t.reshape(t.transpose(t.matmul(t.softmax(masked), split(v)), [0, 2, 1, 3]), [keep, keep, D]);
}

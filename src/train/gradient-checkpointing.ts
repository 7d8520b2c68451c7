/**
 * @file Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174): a step cut into segments, each with programs of its
 * own. The forward pass keeps only the tensors that cross a border; the backward pass recomputes each segment. Several
 * programs are needed, because ONNX Runtime merges a recomputation inside one graph with what it repeats.
 */

import type { Values } from "../engine/engine.js";
import { floatsOf } from "../engine/engine.js";
import { lower } from "../engine/lower.js";
import type { BlockingEngine, BlockingSession } from "../engine/ort/blocking-engine.js";
import type { WeightsInFiles } from "../pipeline/component.js";
import { vjp } from "../tensor/gradient.js";
import { constant, input } from "../tensor/operations.js";
import { topological } from "../tensor/order.js";
import { made, type Tensor, withInputs } from "../tensor/tensor.js";
import { type GradientProgram, type TracedLoss, trainingDevice } from "./gradient-program.js";
import { sharedWeights } from "./lora/weights.js";
import type { ParameterBuffer } from "./parameter-buffer.js";

/** A segment of the step's graph. */
type Segment = {
  tensors: Tensor[];
  /** Tensors of earlier segments. */
  reads: Tensor[];
  /** Tensors that later segments read, or that are results. */
  writes: Tensor[];
};

/** Cuts the graph of `roots` after each of `borders`, which must be in it. */
export function segmentsOf(roots: readonly Tensor[], borders: readonly Tensor[]): Segment[] {
  const order = topological([...borders, ...roots]).filter((t) => t.inputs.length > 0);
  const at = new Map<Tensor, number>();
  const ends = new Set(borders);
  let current = 0;
  const segments: Segment[] = [{ tensors: [], reads: [], writes: [] }];
  for (const t of order) {
    segments[current]!.tensors.push(t);
    at.set(t, current);
    if (ends.has(t)) {
      current++;
      segments.push({ tensors: [], reads: [], writes: [] });
    }
  }
  for (const [t, segment] of at) {
    for (const x of new Set(t.inputs)) {
      const source = at.get(x);
      if (source === undefined || source === segment) continue;
      if (!segments[segment]!.reads.includes(x)) segments[segment]!.reads.push(x);
      if (!segments[source]!.writes.includes(x)) segments[source]!.writes.push(x);
    }
  }
  return segments.filter((s) => s.tensors.length > 0);
}

type SegmentProgram = {
  /** Names of the tensors that cross into this segment, and out of it. */
  reads: Map<Tensor, string>;
  writes: Map<Tensor, string>;
  params: Map<Tensor, string>;
  inputs: string[];
  forward: BlockingSession | undefined;
  backward: BlockingSession;
};

/** The same results as `wholeProgram`, with less memory and each segment's forward pass computed twice. */
export async function checkpointedProgram(
  engine: BlockingEngine,
  loss: TracedLoss,
  layout: ParameterBuffer,
  borders: readonly Tensor[],
): Promise<GradientProgram> {
  const segments = segmentsOf(Object.values(loss.outputs), borders);
  const paths = new Map([...loss.params].map(([path, t]) => [t, path]));
  const names = new Map(segments.flatMap((s) => s.writes).map((t, i) => [t, `cross_${i}`]));
  const programs: SegmentProgram[] = [];
  const { files, inputs: frozen } = await sharedWeights(engine.device, loss.frozen);
  for (const [i, segment] of segments.entries()) {
    programs.push(
      await loadSegment(engine, segment, { loss, paths, names, files, last: i === segments.length - 1 }),
    );
  }
  return {
    run: (weights, inputs, into) => run(programs, loss, layout, weights, { ...frozen, ...inputs }, into),
    release: async () => {
      for (const { forward, backward } of programs) {
        await forward?.release();
        await backward.release();
      }
    },
  };
}

type Context = {
  loss: TracedLoss;
  paths: ReadonlyMap<Tensor, string>;
  names: ReadonlyMap<Tensor, string>;
  files: WeightsInFiles | undefined;
  last: boolean;
};

async function loadSegment(
  engine: BlockingEngine,
  segment: Segment,
  { loss, paths, names, files, last }: Context,
): Promise<SegmentProgram> {
  const copies = new Map<Tensor, Tensor>(segment.reads.map((t) => [t, input(names.get(t)!, t.shape)]));
  for (const t of segment.tensors) {
    const inputs = t.inputs.map((x) => copies.get(x) ?? x);
    copies.set(t, withInputs(t, inputs));
  }
  const copy = (t: Tensor) => copies.get(t)!;
  const leaves = new Set(segment.tensors.flatMap((t) => t.inputs).filter((t) => t.inputs.length === 0));
  const params = new Map([...leaves].flatMap((t) => (paths.has(t) ? [[t, paths.get(t)!] as const] : [])));
  const inputs = [...leaves].flatMap((t) => {
    if (made("input", t)) return [t.attrs.name];
    return made("param", t) && !paths.has(t) && !files ? [t.attrs.path] : [];
  });
  const writes = new Map(segment.writes.map((t) => [t, names.get(t)!]));

  // A result of an earlier segment passes through as it is, since it is among this segment's reads.
  const results = last ? Object.entries(loss.outputs) : [];
  const outputs = [...segment.writes.map(copy), ...(last ? [copy(loss.outputs.total)] : [])];
  const upstream = [
    ...segment.writes.map((t) => input(`upstream_${names.get(t)}`, t.shape)),
    ...(last ? [constant(Float32Array.of(1), loss.outputs.total.shape)] : []),
  ];
  const targets = [...params.keys(), ...segment.reads.map(copy)];
  const found = vjp(outputs, upstream, targets);
  const gradientNames = [...params.values(), ...segment.reads.map((t) => names.get(t)!)].map(
    (n) => `gradient/${n}`,
  );
  const backward: Record<string, Tensor> = Object.fromEntries(results.map(([name, t]) => [name, copy(t)]));
  for (const [i, name] of gradientNames.entries()) if (found[i]) backward[name] = found[i];
  const forward = Object.fromEntries(segment.writes.map((t) => [writes.get(t)!, copy(t)]));
  const load = (name: string, program: Record<string, Tensor>) =>
    engine.load(lower(name, program, { device: trainingDevice(engine.device), ...files }), {
      keepsMemory: false,
    });
  return {
    reads: new Map(segment.reads.map((t) => [t, names.get(t)!])),
    writes,
    params,
    inputs,
    forward: last ? undefined : await load("student forward", forward),
    backward: await load("student backward", backward),
  };
}

async function run(
  programs: readonly SegmentProgram[],
  loss: TracedLoss,
  layout: ParameterBuffer,
  weights: Float32Array,
  inputs: Readonly<Record<string, Values>>,
  into: Float32Array,
): Promise<Record<string, Float32Array>> {
  const kept: Record<string, Values> = {};
  const given = (program: SegmentProgram): Record<string, Values> => ({
    ...Object.fromEntries(program.inputs.map((name) => [name, inputs[name]!])),
    ...Object.fromEntries(
      [...program.params.values()].map((p) => [
        p,
        { data: layout.view(weights, p), shape: layout.slices.get(p)!.shape },
      ]),
    ),
    ...Object.fromEntries([...program.reads.values()].map((name) => [name, kept[name]!])),
  });
  for (const program of programs)
    if (program.forward) Object.assign(kept, await program.forward.run(given(program)));

  into.fill(0);
  const terms: Record<string, Float32Array> = {};
  const upstream = new Map<string, Float32Array>();
  for (const program of [...programs].reverse()) {
    const arrived = Object.fromEntries(
      [...program.writes].map(([t, name]) => [
        `upstream_${name}`,
        { data: upstream.get(name) ?? new Float32Array(t.shape.reduce((a, b) => a * b, 1)), shape: t.shape },
      ]),
    );
    for (const name of program.writes.values()) {
      delete kept[name];
      upstream.delete(name);
    }
    const results = await program.backward.run({ ...given(program), ...arrived });
    for (const [name, value] of Object.entries(results)) {
      const target = /^gradient\/(.*)$/.exec(name)?.[1];
      if (target === undefined) terms[name] = floatsOf(value);
      else
        addTo(
          layout.slices.has(target) ? layout.view(into, target) : fresh(upstream, target, value),
          floatsOf(value),
        );
    }
  }
  return Object.fromEntries(Object.keys(loss.outputs).map((name) => [name, terms[name]!]));
}

function fresh(all: Map<string, Float32Array>, name: string, { data }: Values): Float32Array {
  const array = all.get(name) ?? new Float32Array(data.length);
  all.set(name, array);
  return array;
}

function addTo(sum: Float32Array, part: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += part[i]!;
}

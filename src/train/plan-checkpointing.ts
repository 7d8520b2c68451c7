/** @file The memory of a step under gradient checkpointing, for the plan. */

import type { Device } from "../engine/device.js";
import { peakBytes } from "../engine/memory/peak.js";
import { channelsLast } from "../engine/rewrite/channels-last.js";
import { vjp } from "../tensor/gradient.js";
import { constant, input } from "../tensor/operations.js";
import { topological } from "../tensor/order.js";
import { count, made, type Tensor, withInputs } from "../tensor/tensor.js";
import { segmentsOf } from "./gradient-checkpointing.js";
import { trainingDevice } from "./gradient-program.js";
import { foldedWeights } from "./lora/folded.js";
import type { StudentTrace } from "./step.js";

/** The most that is alive at once, and the frozen weights: once on the CPU (`sharedWeights`), else in each program. */
type CheckpointedBytes = { peak: number; frozen: number };

/**
 * As `checkpointedProgram` runs: what crosses the borders is kept (or, later, its gradient), and one part at a time is
 * computed forward and backward, without an arena; its gradients are new arrays before they are added up.
 */
export function checkpointedBytes(
  { at, outputs, losses, params }: StudentTrace,
  watch: readonly string[],
  device: Device,
): CheckpointedBytes {
  const borders = watch.map((path) => at.get(path)!);
  const segments = segmentsOf(Object.values(outputs), borders);
  const crossing = sizeOf(new Set(segments.flatMap((s) => s.writes)));
  const weights = new Set(params.values());
  const isShared = device.provider === "cpu";
  const frozen = topological(Object.values(outputs)).filter((x) => made("param", x) && !weights.has(x));
  const held = (graph: Record<string, Tensor>) =>
    isShared ? { graph: computedGraph(graph, device), bytes: 0 } : foldedGraph(graph, params, device);
  const programs = segments.map(({ tensors, reads, writes }, i) => {
    const last = i === segments.length - 1;
    const copies = new Map<Tensor, Tensor>(reads.map((x, j) => [x, input(`read_${j}`, x.shape)]));
    const copy = (x: Tensor) => copies.get(x) ?? x;
    for (const x of tensors) copies.set(x, withInputs(x, x.inputs.map(copy)));
    const own = new Set(tensors.flatMap((x) => x.inputs).filter((x) => weights.has(x)));
    const ends = [...writes.map(copy), ...(last ? [copy(losses.total)] : [])];
    const upstream = ends.map((x, j) =>
      j < writes.length ? input(`upstream_${j}`, x.shape) : constant(Float32Array.of(1), x.shape),
    );
    const found = vjp(ends, upstream, [...own, ...reads.map(copy)]).flatMap((g) => (g ? [g] : []));
    const forward = last ? 0 : held(named(writes.map(copy))).bytes;
    const backward = held(named(found));
    const { peak } = peakBytes(backward.graph, {
      device: plannedDevice(device),
      weights: "inputs",
      arena: false,
    });
    return { peak: peak + sizeOf(found), frozen: forward + backward.bytes };
  });
  return {
    peak: crossing + Math.max(...programs.map(({ peak }) => peak)),
    frozen: isShared ? sizeOf(frozen) : programs.reduce((sum, { frozen }) => sum + frozen, 0),
  };
}

/** A graph as a step's program computes it on a device, its frozen weights folded. `trained` are the others. */
export function foldedGraph(
  graph: Record<string, Tensor>,
  trained: ReadonlyMap<string, Tensor>,
  device: Device,
): { graph: Record<string, Tensor>; bytes: number } {
  return foldedWeights(computedGraph(graph, device), (path) => trained.has(path));
}

/** A graph with its channels as a step's program has them. */
export const computedGraph = (graph: Record<string, Tensor>, device: Device): Record<string, Tensor> =>
  trainingDevice(device).channelsLast ? channelsLast(graph) : graph;

/** As `trainingDevice`, of graphs whose channels are as they are to be. */
export const plannedDevice = (device: Device): Device => ({ ...trainingDevice(device), channelsLast: false });

export const sizeOf = (tensors: Iterable<Tensor>): number =>
  [...tensors].reduce((sum, x) => sum + 4 * count(x.shape), 0);

const named = (tensors: readonly Tensor[]): Record<string, Tensor> =>
  Object.fromEntries(tensors.map((x, i) => [`result_${i}`, x]));

/**
 * @file Estimates what a run takes of a WebGPU device's memory besides the weights as they are stored: replays the
 * program's kernels on a simulated pool of buffers. Runs nothing.
 */

import { topological } from "../../tensor/order.js";
import { made, type Shape, Tensor, withInputs } from "../../tensor/tensor.js";
import type { Device } from "../device.js";
import { deviceGraph } from "../rewrite/device-graph.js";
import type { Graph } from "../rewrite/graph.js";
import { BufferPool } from "./buffer-pool.js";
import { bytes, planBuffers, replayBuffers } from "./buffers.js";
import { executionOrder } from "./execution-order.js";

/** Whether the weight at this path is stored in 16 bits. */
export type IsHalf = (path: string) => boolean;

/** Bytes of the buffers of one run at the sizes that `outputs` were traced at. */
export function poolBytes(outputs: Graph, device: Device, isHalf: IsHalf): number {
  const roots = Object.values(kernels(deviceGraph(outputs, device), device, isHalf));
  // A weight is widened right before it is read, since the Cast is the node with the lowest index of those that wait.
  const index = new Map(topological(roots).map((x, i) => [x, widens(x) ? -1 : i]));
  const steps = executionOrder(roots, index);
  const buffers = planBuffers(steps, roots, { outside: new Set(), fixed: false, inPlace: false });
  const pool = new BufferPool();
  replayBuffers(steps, buffers, pool, temporaries);
  return pool.peak;
}

const widens = (x: Tensor): boolean => made("cast", x) && made("param", x.inputs[0]!);

/** What a kernel needs beside its result: a convolution turns its kernel to have the output channels last. */
const temporaries = (x: Tensor): number[] => (made("conv2d", x) ? [bytes(x.inputs[1]!)] : []);

/** The same results with each kernel's operation: widened weights, channels last around convolutions, norms in parts. */
function kernels(outputs: Graph, device: Device, isHalf: IsHalf): Graph {
  const known = new Map<Tensor, Tensor>();
  for (const x of topological(Object.values(outputs)))
    known.set(
      x,
      kernelOf(
        x,
        x.inputs.map((y) => known.get(y)!),
        device,
        isHalf,
      ),
    );
  return Object.fromEntries(Object.entries(outputs).map(([name, x]) => [name, known.get(x)!]));
}

function kernelOf(x: Tensor, inputs: readonly Tensor[], device: Device, isHalf: IsHalf): Tensor {
  if (x.inputs.length === 0) {
    const half = made("param", x) && isHalf(x.attrs.path) && device.dtype === "float32";
    return half ? new Tensor("cast", [x], x.shape, { to: "float32" }, "float32") : x;
  }
  const [image, ...others] = inputs as [Tensor, ...Tensor[]];
  if (made("conv2d", x)) return withInputs(x, [copy([image]), ...others]);
  if (made("groupNorm", x)) {
    const { normEpsilon = x.attrs.eps } = device;
    const scaled = normEpsilon === x.attrs.eps ? image : copy([image]);
    const normed = withInputs(x, [copy([scaled]), ...others]);
    return copy([copy([normed])]); // times the weight, plus the bias
  }
  if (made("silu", x) && !device.fusedSilu) return copy([copy([image]), image]);
  return withInputs(x, inputs);
}

/** A kernel whose result has the first input's shape. */
const copy = (inputs: readonly Tensor[]): Tensor => {
  const shape: Shape = inputs[0]!.shape;
  return new Tensor("transpose", inputs, shape, { perm: shape.map((_, axis) => axis) }, "float32");
};

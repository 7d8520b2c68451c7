/**
 * @file Types a graph for float16 arithmetic. What comes from the program's inputs stays float32 until it meets a
 * product, a norm or a table of weights; from there on it is float16, and the results are float32 again. So timesteps,
 * sinusoids and sizes keep their digits, and callers see float32 only.
 */

import { made, type Op, Tensor, withInputs } from "../../tensor/tensor.js";
import type { Provider } from "../device.js";
import { type Graph, rewriteGraph } from "./graph.js";

/**
 * Which type an operation computes in:
 * - `float16`: whatever it is given;
 * - `inputs`: float16 if any of its inputs is, weights and constants aside;
 * - `float32`: whatever it is given.
 */
type Arithmetic = "float16" | "inputs" | "float32";

/** PyTorch computes in float16 what is not float32 here, with sums in float32. */
const arithmetic: Readonly<Record<Op, Arithmetic>> = {
  // Callers give float32. Weights and constants are read in the type of what uses them.
  input: "float32",
  param: "float32",
  constant: "float32",
  // Nearly all time and memory: what float16 is for.
  matmul: "float16",
  linear: "float16",
  // Take and give float32: quantised weights are the CPU's alone.
  quantizedLinear: "float32",
  rowQuantizedLinear: "float32",
  rowQuantizedConv2d: "float32",
  winogradConv2d: "float32",
  conv2d: "float16",
  conv2dTranspose: "float16",
  conv2dKernel: "float16",
  attention: "float16",
  // Their results are near 1, and the runtimes sum in float32.
  groupNorm: "float16",
  layerNorm: "float16",
  // Rows of a table that lies in float16.
  gather: "float16",
  // The angles of sinusoids reach 999, where float16 has steps of 0.5; powers and quotients leave its range.
  exp: "float32",
  log: "float32",
  sqrt: "float32",
  sin: "float32",
  cos: "float32",
  div: "float32",
  // Sums of many elements pass 65504.
  sum: "float32",
  mean: "float32",
  // Its result is an index.
  argmax: "float32",
  // Bounded by their inputs.
  add: "inputs",
  sub: "inputs",
  mul: "inputs",
  neg: "inputs",
  tanh: "inputs",
  erf: "inputs",
  sigmoid: "inputs",
  relu: "inputs",
  step: "inputs",
  silu: "inputs",
  gelu: "inputs",
  quickGelu: "inputs",
  softmax: "inputs",
  // The same elements elsewhere.
  reshape: "inputs",
  transpose: "inputs",
  concat: "inputs",
  slice: "inputs",
  part: "inputs",
  pad: "inputs",
  upsample: "inputs",
  resize: "inputs",
  expand: "inputs",
  pick: "inputs",
  // Its own attribute says.
  cast: "float32",
};

/** What a provider computes in float32 all the same, because its own float16 is worse than PyTorch's. */
const keptInFloat32: Readonly<Record<Provider, ReadonlySet<Op>>> = {
  // Its convolutions sum in float16 (ONNX Runtime 1.30): 1.4e-2 off at 320 channels, 2.0e-2 at 2,560, and a whole U-Net
  // three times as far as with these in float32. Its products sum in float16 too, and stay: they are what is fast.
  webgpu: new Set(["conv2d", "conv2dTranspose", "conv2dKernel"]),
  // cuDNN, cuBLAS, DirectML and Core ML sum in float32, by their documentation.
  cuda: new Set(),
  dml: new Set(),
  coreml: new Set(),
  // Has few kernels of float16: ONNX Runtime converts around all others, so that float16 is slower and no smaller.
  cpu: new Set(),
};

/** The same results with float16 inside, as far as the provider's is sound. */
export function halfPrecision<G extends Graph>(outputs: G, provider: Provider): G {
  const float32 = keptInFloat32[provider];
  const converted = new Map<Tensor, Tensor>();
  const as = (x: Tensor, dtype: "float16" | "float32"): Tensor => {
    if (x.dtype === "int64" || x.dtype === dtype) return x;
    const known = converted.get(x) ?? inType(x, dtype);
    converted.set(x, known);
    return known;
  };
  const typed = rewriteGraph(outputs, (x) => {
    if (x.inputs.length === 0) return x;
    const rule = float32.has(x.op) ? "float32" : arithmetic[x.op];
    const half = rule === "float16" || (rule === "inputs" && x.inputs.some(computedInHalf));
    const dtype = half ? "float16" : "float32";
    const inputs = x.inputs.map((y) => as(y, dtype));
    if (x.dtype === "int64" || !half) return withInputs(x, inputs);
    return new Tensor(x.op, inputs, x.shape, x.attrs, "float16");
  });
  const results = Object.entries(typed).map(([name, x]) => [name, as(x, "float32")]);
  return Object.fromEntries(results) as G;
}

const computedInHalf = (x: Tensor): boolean => x.dtype === "float16";

/** A weight or constant of the other type, or a conversion. */
const inType = (x: Tensor, dtype: "float16" | "float32"): Tensor =>
  made("param", x) || made("constant", x)
    ? new Tensor(x.op, [], x.shape, x.attrs, dtype)
    : new Tensor("cast", [x], x.shape, { to: dtype }, dtype);

/** @file Values as tensors of ONNX Runtime, and back: alike for its builds, of which each has a class `Tensor` of its own. */

import type { InferenceSession, TensorConstructor, Tensor as TensorType } from "onnxruntime-node";
import { hostValues } from "../host-values.js";
import type { Program, Values } from "../program.js";

type Named<T> = Readonly<Record<string, T>>;

const mapped = <T, R>(values: Named<T>, map: (value: T) => R): Record<string, R> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value)]));

export const tensorsOf = (values: Named<Values>, Tensor: TensorConstructor): Record<string, TensorType> =>
  mapped(values, ({ data, shape }) =>
    data instanceof Float32Array ? new Tensor("float32", data, shape) : new Tensor("int64", data, shape),
  );

export const valuesOf = (results: InferenceSession.OnnxValueMapType): Record<string, Values> =>
  mapped(results, (value) => {
    const { data, dims } = value as TensorType;
    return { data: data as Values["data"], shape: [...dims] };
  });

/** The session's inputs: those that the caller gives, and those that the host computes from them. */
export async function withHostInputs(
  { host, folder }: Program,
  names: readonly string[],
  inputs: Named<Values>,
): Promise<Named<Values>> {
  if (!host) return inputs;
  const all: Named<Values> = { ...inputs, ...(await hostValues(host, inputs, folder)) };
  return Object.fromEntries(names.flatMap((name) => (all[name] ? [[name, all[name]]] : [])));
}

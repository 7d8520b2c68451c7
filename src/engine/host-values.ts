/**
 * @file What a session computes on the host before the device runs: a program names it by expressions over the inputs
 * that callers give. Plain data, which can be sent to a thread.
 */

import { readRange } from "../files/file-system.js";
import path from "../files/path.js";
import { type AxisSize, made, type Shape, type Tensor } from "../tensor/tensor.js";
import { dtypeSizes, isFloatDtype, isStoredDtype, toFloat32 } from "../weights/dtype.js";
import type { HostExpression, HostInput, StoredWeight, Values } from "./program.js";

/** The expression of a tensor that `rewrite/host-inputs.ts` took out of a graph. */
export function hostExpression(x: Tensor, weights: ReadonlyMap<string, StoredWeight>): HostExpression {
  const of = (i: number) => hostExpression(x.inputs[i]!, weights);
  if (made("input", x)) return { op: "input", name: x.attrs.name };
  if (made("constant", x)) return { op: "constant", value: { data: x.attrs.data, shape: x.shape } };
  if (made("reshape", x)) return { op: "reshape", x: of(0), sizes: x.attrs.sizes };
  if (made("mul", x)) return { op: "mul", a: of(0), b: of(1) };
  if (made("sin", x) || made("cos", x)) return { op: x.op, x: of(0) };
  const table = x.inputs[0]!;
  if (!made("gather", x) || !made("param", table))
    throw new Error(`internal: the host does not compute ${x.op}`);
  // A weight that is no initialiser is an input under its path.
  return { op: "rows", table: weights.get(table.attrs.path) ?? table.attrs.path, ids: of(1) };
}

/** Computes the inputs that the host computes; `folder` is what the locations of weights are relative to. */
export async function hostValues(
  hosts: readonly HostInput[],
  inputs: Readonly<Record<string, Values>>,
  folder = "",
): Promise<Record<string, Values>> {
  const computed = hosts.map(
    async ({ name, value }) => [name, await evaluate(value, inputs, folder)] as const,
  );
  return Object.fromEntries(await Promise.all(computed));
}

async function evaluate(
  x: HostExpression,
  inputs: Readonly<Record<string, Values>>,
  folder: string,
): Promise<Values> {
  const of = (y: HostExpression) => evaluate(y, inputs, folder);
  switch (x.op) {
    case "input":
      return given(inputs, x.name);
    case "constant":
      return x.value;
    case "reshape":
      return reshaped(await of(x.x), x.sizes);
    case "mul":
      return product(await of(x.a), await of(x.b));
    case "sin":
    case "cos": {
      const { data, shape } = await of(x.x);
      return { data: Float32Array.from(data as Float32Array, Math[x.op]), shape };
    }
    case "rows": {
      const table = typeof x.table === "string" ? given(inputs, x.table) : x.table;
      return rows(table, await of(x.ids), folder);
    }
    default:
      return x satisfies never;
  }
}

function given(inputs: Readonly<Record<string, Values>>, name: string): Values {
  const value = inputs[name];
  if (!value) throw new Error(`internal: the input ${name} is missing`);
  return value;
}

function reshaped({ data, shape }: Values, sizes: readonly AxisSize[]): Values {
  const known = sizes.map((s) => (typeof s === "number" ? s : shape[s.axis]!));
  const rest = known.filter((d) => d !== -1).reduce((a, b) => a * b, 1);
  return { data, shape: known.map((d) => (d === -1 ? data.length / rest : d)) };
}

/** a: [..., 1] or [], b: [n] or [], in this or the other order. */
function product(a: Values, b: Values): Values {
  const [wide, narrow] = a.shape.length >= b.shape.length ? [a, b] : [b, a];
  const [outer, n] = [wide.data as Float32Array, narrow.data as Float32Array];
  if (n.length === 1) return { data: outer.map((v) => v * n[0]!), shape: wide.shape };
  if (wide.shape.at(-1) !== 1 || narrow.shape.length !== 1)
    throw new Error(`internal: the host does not multiply [${a.shape}] by [${b.shape}]`);
  const data = Float32Array.from(
    { length: outer.length * n.length },
    (_, i) => outer[Math.floor(i / n.length)]! * n[i % n.length]!,
  );
  return { data, shape: [...wide.shape.slice(0, -1), n.length] };
}

/** Rows of a table [V, D] by ids [...] -> [..., D], of which only those rows are read. */
async function rows(table: StoredWeight | Values, ids: Values, folder: string): Promise<Values> {
  const [count, width] = table.shape as [number, number];
  const data = new Float32Array(ids.data.length * width);
  const read = new Map<number, Float32Array>();
  for (const [i, value] of ids.data.entries()) {
    const id = Number(value);
    if (!(id >= 0 && id < count)) throw new Error(`id ${id} is outside the table of ${count} rows`);
    const row = read.get(id) ?? (await rowOf(table, id, width, folder));
    read.set(id, row);
    data.set(row, i * width);
  }
  return { data, shape: [...ids.shape, width] satisfies Shape };
}

async function rowOf(
  table: StoredWeight | Values,
  id: number,
  width: number,
  folder: string,
): Promise<Float32Array> {
  if (!("dtype" in table)) return (table.data as Float32Array).subarray(id * width, (id + 1) * width);
  const { dtype } = table;
  if (!isStoredDtype(dtype) || !isFloatDtype(dtype)) throw new Error(`internal: a table of ${dtype}`);
  if (table.transposed) throw new Error("internal: a table whose columns are its rows");
  const length = width * dtypeSizes[dtype];
  const bytes =
    "data" in table
      ? table.data.subarray(id * length, (id + 1) * length)
      : await readRange(path.resolve(folder, table.location), table.offset + id * length, length);
  const row = toFloat32(bytes, dtype);
  const { scale } = table;
  const factor = scale && scale[scale.length === 1 ? 0 : id]!;
  return factor === undefined ? row : row.map((v) => v * factor);
}

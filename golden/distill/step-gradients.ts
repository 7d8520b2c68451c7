/** @file Losses and gradients of a step distillation's golden data: some tensors in a file, the length of every one in JSON. */

import { z } from "zod";
import type { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import {
  type Computed,
  type Expectation,
  type Expectations,
  type TensorData,
  type Tolerance,
  tensorData,
} from "../conformance/check.js";
import type { GoldenFile } from "../conformance/golden-file.js";
import { equal } from "../conformance/tolerances.js";
import { scalarData } from "./folder.js";
import * as near from "./tolerances.js";

const number = z.looseObject({ value: z.number() });
export const gradientSchema = z.looseObject({
  loss: number,
  grad_norm: number,
  /** [length, sum] by parameter. */
  grads: z.record(z.string(), z.tuple([z.number(), z.number()])).nullish(),
});
type GradientJson = z.infer<typeof gradientSchema>;

/** Where the tensors of a gradient lie: in a file of its own under their names, or under a prefix. */
type StoredGradient = { readonly file: GoldenFile; readonly prefix: string };

const parametersIn = ({ file, prefix }: StoredGradient): string[] =>
  file.names.flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));

const length = (numbers: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += numbers[i]! ** 2;
  return Math.sqrt(sum);
};

/** The loss, the gradient's length, the length of every parameter's part, and what is stored, as one vector. */
export function computedGradient(
  layout: ParameterBuffer,
  { loss, gradient }: { loss: number; gradient: Float32Array },
  golden: GradientJson,
  stored: StoredGradient,
): Computed {
  const known = [...layout.slices.keys()];
  const lengths = Object.keys(golden.grads ?? {}).map((name) =>
    layout.slices.has(name) ? length(layout.view(gradient, name)) : Number.NaN,
  );
  const parts = parametersIn(stored).flatMap((name) =>
    layout.slices.has(name) ? [layout.view(gradient, name)] : [],
  );
  return new Map<string, TensorData>([
    ["(loss)", scalarData(loss)],
    ["(gradients)", joined(parts)],
    ["(norm)", scalarData(length(gradient))],
    ...(golden.grads
      ? ([
          ["(lengths)", tensorData(lengths)],
          ["(count)", scalarData(known.length)],
        ] as const)
      : []),
  ]);
}

export async function expectedGradient(
  golden: GradientJson,
  stored: StoredGradient,
  tolerance: number,
): Promise<Expectations> {
  const parts = await Promise.all(
    parametersIn(stored).map(async (name) => (await stored.file.expected(stored.prefix + name)).data),
  );
  const lengths = Object.values(golden.grads ?? {}).map(([l2]) => l2);
  const vector: Tolerance = { kind: "vector", most: tolerance };
  const expected = new Map<string, Expectation>([
    ["(loss)", near.lossExpectation(golden.loss.value)],
    ["(gradients)", { tolerance: vector, numbers: joined(parts as Float32Array[]) }],
    ["(norm)", { tolerance: { kind: "each", most: tolerance }, numbers: scalarData(golden.grad_norm.value) }],
  ]);
  if (golden.grads) {
    expected.set("(lengths)", { tolerance: vector, numbers: tensorData(lengths) });
    expected.set("(count)", { tolerance: equal, numbers: scalarData(lengths.length) });
  }
  return expected;
}

export function joined(parts: readonly ArrayLike<number>[]): TensorData {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return tensorData(all);
}

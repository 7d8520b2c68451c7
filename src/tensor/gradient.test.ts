/** @file Gradients: every rule against central differences, and the graphs that reverse mode makes. */

import { describe, expect, it } from "vitest";
import { cpu } from "../engine/device.js";
import { floats, floatsOf, type Values } from "../engine/engine.js";
import { lower } from "../engine/lower.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { gradients, vjp } from "./gradient.js";
import * as t from "./operations.js";
import { add, constant, mul, param, sum } from "./operations.js";
import { topological } from "./order.js";
import { count, type Op, type Shape, show, type Tensor } from "./tensor.js";

const engine = blockingEngine({ threads: 1, device: { ...cpu, fusedAttention: false } });

async function computed(outputs: Record<string, Tensor>, inputs: Record<string, Values>) {
  const session = await engine.load(lower("test", outputs, { device: engine.device }));
  const results = await session.run(inputs);
  await session.release();
  return (name: string) => [...floatsOf(results[name])];
}

type Check = {
  shapes: readonly Shape[];
  of: (...xs: Tensor[]) => Tensor;
  positive?: boolean;
  leaf?: (name: string, shape: Shape) => Tensor;
};
const check = (shapes: readonly Shape[], of: Check["of"], more: Partial<Check> = {}): Check => ({
  shapes,
  of,
  ...more,
});
const unary = (of: (x: Tensor) => Tensor, more: Partial<Check> = {}) => [check([[2, 3]], of, more)];
const binary = (of: (a: Tensor, b: Tensor) => Tensor) => [
  check(
    [
      [2, 3],
      [2, 3],
    ],
    of,
  ),
  check(
    [
      [2, 1, 3],
      [4, 1],
    ],
    of,
  ),
];
const ids = (...values: number[]) => constant(BigInt64Array.from(values, BigInt));
const zeros = (...shape: number[]) => constant(new Float32Array(count(shape)), shape);
const flags = [true, false].flatMap((transposeA) =>
  [true, false].map((transposeB) => ({ transposeA, transposeB })),
);
const product = (a: Shape, b: Shape) =>
  flags.map((f) => {
    const transposed = (s: Shape, on: boolean) => (on ? [...s.slice(0, -2), s.at(-1)!, s.at(-2)!] : s);
    return check([transposed(a, f.transposeA), transposed(b, f.transposeB)], (x, y) => t.matmul(x, y, f));
  });

/** What lowering makes of other operations has no gradient: it is asked for before. */
const checks: Record<
  Exclude<Op, "quantizedLinear" | "rowQuantizedLinear" | "rowQuantizedConv2d" | "winogradConv2d">,
  readonly Check[]
> = {
  input: unary((x) => mul(x, 3)),
  param: unary((x) => mul(x, 3), { leaf: param }),
  constant: unary((x) => mul(x, constant(Float32Array.of(2, -3, 5)))),
  add: binary(add),
  sub: binary(t.sub),
  mul: binary(mul),
  div: binary(t.div),
  neg: unary(t.neg),
  exp: unary(t.exp),
  log: unary(t.log, { positive: true }),
  sqrt: unary(t.sqrt, { positive: true }),
  sin: unary(t.sin),
  cos: unary(t.cos),
  tanh: unary(t.tanh),
  erf: unary(t.erf),
  sigmoid: unary(t.sigmoid),
  relu: unary(t.relu),
  step: unary((x) => mul(t.step(x), x)),
  silu: unary(t.silu),
  gelu: unary(t.gelu),
  quickGelu: unary(t.quickGelu),
  softmax: unary(t.softmax),
  linear: [
    check(
      [
        [3, 4],
        [2, 4],
      ],
      (x, w) => t.linear(x!, w!),
    ),
    check([[2, 3, 4], [2, 4], [2]], (x, w, b) => t.linear(x!, w!, b)),
  ],
  matmul: [
    ...product([3, 4], [4, 2]),
    ...product([2, 3, 4], [2, 4, 2]),
    ...product([2, 3, 4], [4, 2]),
    ...product([3, 4], [2, 5, 4, 2]),
    ...product([2, 1, 3, 4], [3, 4, 2]),
  ],
  conv2d: [
    check([[2, 3, 5, 4], [2, 3, 3, 3], [2]], (x, w, b) => t.conv2d(x!, w!, b, { padding: 1 })),
    check(
      [
        [2, 3, 6, 5],
        [2, 3, 3, 3],
      ],
      (x, w) => t.conv2d(x!, w!, undefined, { stride: 2, padding: [0, 0, 1, 1] }),
    ),
    check([[2, 3, 4, 2], [2, 3, 1, 1], [2]], (x, w, b) => t.conv2d(x!, w!, b)),
  ],
  conv2dKernel: [
    check(
      [
        [2, 3, 5, 4],
        [2, 2, 5, 4],
      ],
      (g, x) => t.conv2dKernel(g!, x!, { stride: 1, padding: [1, 1, 1, 1], kernel: [3, 3] }),
    ),
    check(
      [
        [2, 3, 2, 2],
        [2, 2, 5, 4],
      ],
      (g, x) => t.conv2dKernel(g!, x!, { stride: 2, padding: [0, 0, 0, 1], kernel: [3, 3] }),
    ),
  ],
  conv2dTranspose: [
    ...[5, 6].map((height) =>
      check(
        [
          [2, 3, 3, 2],
          [3, 2, 3, 3],
        ],
        (g, w) => t.conv2dTranspose(g!, w!, { stride: 2, padding: [1, 1, 1, 1], size: [height, 4] }),
      ),
    ),
    // From 32 x 32 on it is lowered as a convolution; the padding reveals a kernel that is flipped wrongly.
    check(
      [
        [1, 3, 32, 33],
        [3, 2, 3, 2],
      ],
      (g, w) => t.conv2dTranspose(g!, w!, { stride: 1, padding: [1, 0, 1, 1], size: [32, 33] }),
    ),
  ],
  groupNorm: [check([[2, 6, 2, 3], [6], [6]], (x, w, b) => t.groupNorm(x!, w!, b!, 3, 1e-2))],
  layerNorm: [
    check([[2, 2, 5], [5], [5]], (x, w, b) => t.layerNorm(x!, w!, b!, 1e-2)),
    check([[5], [5], [5]], (x, w, b) => t.layerNorm(x!, w!, b!, 1e-2)),
  ],
  attention: [
    check(
      [
        [2, 3, 4],
        [2, 5, 4],
        [2, 5, 4],
      ],
      (q, k, v) => t.attention(q!, k!, v!, 2),
    ),
    check(
      [
        [1, 4, 6],
        [1, 4, 6],
        [1, 4, 6],
      ],
      (q, k, v) => t.attention(q!, k!, v!, 3, { causal: true }),
    ),
  ],
  reshape: [check([[2, 3, 4]], (x) => t.reshape(x!, [t.keep, -1, 6]))],
  transpose: [check([[2, 3, 4]], (x) => t.transpose(x!, [2, 0, 1]))],
  concat: [
    check(
      [
        [2, 1, 3],
        [2, 4, 3],
        [2, 2, 3],
      ],
      (...xs) => t.concat(xs, 1),
    ),
  ],
  part: [
    check([[2, 7]], (x) => t.part(x!, 1, 1, 3)),
    check([[7, 2]], (x) => t.concat([t.part(x!, 0, 0, 2), t.part(x!, 0, 1, 2)], 0)),
  ],
  slice: [
    check([[2, 7]], (x) => t.slice(x!, 1, 2, 5)),
    check([[2, 7]], (x) => t.slice(x!, 1, 1, 7, 3)),
    check([[7, 2]], (x) => t.slice(x!, 0, 0, 4, 2)),
    check([[2, 6]], (x) => add(...(t.chunk(x!, 2, 1) as [Tensor, Tensor]))),
  ],
  pad: [check([[2, 3]], (x) => t.pad(x!, [1, 0], [0, 2]))],
  upsample: [check([[2, 2, 2, 3]], (x) => t.upsample(x!, 2))],
  resize: [
    check([[2, 2, 2, 3]], (x) => t.resize(x!, zeros(1, 1, 4, 9))),
    check([[2, 2, 3, 5]], (x) => t.resize(x!, zeros(1, 1, 7, 8))),
    check([[2, 2, 5, 7]], (x) => t.resize(x!, zeros(1, 1, 3, 4))),
  ],
  expand: [check([[3, 1]], (x) => t.expand(x!, zeros(2, 3, 4)))],
  sum: [check([[2, 3, 4]], (x) => sum(x!, [0, 2])), check([[2, 3]], (x) => sum(x!))],
  mean: [check([[2, 3, 4]], (x) => t.mean(x!, [1])), check([[2, 3]], (x) => t.mean(x!))],
  argmax: [
    check([[2, 3]], (x) => {
      const far = t.argmax(add(x!, constant(Float32Array.of(0, 9, 4))), 1);
      return mul(x!, t.reshape(t.cast(far, "float32"), [2, 1]));
    }),
  ],
  gather: [
    check([[5, 3]], (table) => t.gather(table!, t.reshape(ids(4, 0, 4, 2), [2, 2]))),
    check([[4, 2, 3]], (table) => t.gather(table!, ids(1, 1, 3))),
  ],
  pick: [check([[2, 4, 3]], (x) => t.pick(x!, ids(3, 1)))],
  cast: unary((x) => mul(x, t.cast(t.cast(add(mul(x, 0.3), 2.5), "int64"), "float32"))),
};

/** Numbers between -1 and 1, the same in every run for a seed. */
const numbers = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => {
    const wave = Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 43758.5453;
    return 2 * (wave - Math.floor(wave)) - 1;
  });

/** At least 0.4 away from zero, where relu and step have no derivative, and 1 / x too large a one. */
const values = (n: number, seed: number, positive = false) =>
  numbers(n, seed).map((v) => (positive || v > 0 ? 1 : -1) * (0.4 + Math.abs(v)));

const dot = (a: Float32Array, b: ArrayLike<number>) => a.reduce((total, v, i) => total + v * b[i]!, 0);

/** Of f at 0, from four points: the error is h^4 / 30 of the fifth derivative. */
async function derivative(f: (h: number) => Promise<number>, h = 1 / 32): Promise<number> {
  const [near, far] = [(await f(h)) - (await f(-h)), (await f(2 * h)) - (await f(-2 * h))];
  return (8 * near - far) / (12 * h);
}

/**
 * Float32 leaves errors of 1e-7 in each value, 5e-6 after division by the step; truncation is below 1e-5 for these
 * functions. A wrong rule is off by a good part of the gradient itself.
 */
const tolerance = 2e-4;

describe.each(Object.entries(checks))("the gradient of %s is its central difference", (op, list) => {
  it.each(list.map((c) => [c.shapes.map(show).join(" "), c] as const))("at %s", async (_, c) => {
    const { shapes, of, positive, leaf = t.input } = c;
    const xs = shapes.map((shape, i) => leaf(`x${i}`, shape));
    const y = of(...xs);
    expect(topological([y]).some((x) => x.op === op)).toBe(true);
    const upstream = numbers(count(y.shape), 50);
    const pulled = vjp([y], [constant(upstream, y.shape)], xs);
    const outputs = Object.fromEntries(pulled.map((g, i) => [`g${i}`, g!]));
    const session = await engine.load(lower(op, { y, ...outputs }, { device: engine.device }));

    const at = shapes.map((shape, i) => values(count(shape), i + 1, positive));
    const run = (points: readonly Float32Array[]) =>
      session.run(Object.fromEntries(points.map((x, i) => [`x${i}`, floats(x, ...shapes[i]!)])));
    const results = await run(at);
    for (const [i, x] of at.entries()) {
      const direction = numbers(x.length, 100 + i);
      const numeric = await derivative(async (h) => {
        const moved = x.map((v, j) => v + h * direction[j]!);
        return dot(upstream, floatsOf((await run(at.with(i, moved))).y));
      });
      const gradient = floatsOf(results[`g${i}`]);
      const scale = gradient.reduce((size, g, j) => size + Math.abs(g * direction[j]!), 0);
      expect(scale).toBeGreaterThan(0);
      expect(Math.abs(dot(gradient, direction) - numeric) / scale, `input ${i}`).toBeLessThan(tolerance);
    }
    await session.release();
  });
});

describe("reverse mode", () => {
  const x = t.input("x", [2]);
  const given = { x: floats(Float32Array.of(2, -3), 2) };

  it("adds up the gradients of all paths", async () => {
    const [g] = gradients(sum(add(mul(x, x), mul(x, 5))), [x]);
    expect((await computed({ g: g! }, given))("g")).toEqual([9, -1]);
  });

  it("gives zeros for what the loss does not depend on", async () => {
    const other = t.input("other", [2, 2]);
    const [g] = gradients(sum(x), [other]);
    const result = await computed({ g: g! }, { other: floats(new Float32Array(4).fill(7), 2, 2) });
    expect(result("g")).toEqual([0, 0, 0, 0]);
  });

  it("differentiates by a tensor inside the graph and by one that it depends on", async () => {
    const inner = mul(x, 3);
    const [dInner, dx] = gradients(sum(mul(inner, inner)), [inner, x]);
    const result = await computed({ dInner: dInner!, dx: dx! }, given);
    expect([result("dInner"), result("dx")]).toEqual([
      [12, -18],
      [36, -54],
    ]);
  });

  it("differentiates its own result", async () => {
    const [first] = gradients(sum(mul(x, mul(x, x))), [x]);
    const [second] = gradients(sum(first!), [x]);
    expect((await computed({ second: second! }, given))("second")).toEqual([12, -18]);
  });

  it("computes only what a target needs", () => {
    const image = t.input("image", [1, 2, 4, 4]);
    const kernel = param("kernel", [2, 2, 3, 3]);
    const teacher = t.conv2d(t.silu(image), param("teacher", [2, 2, 3, 3]), undefined, { padding: 1 });
    const difference = t.sub(t.conv2d(image, kernel, undefined, { padding: 1 }), teacher);
    const graph = topological(gradients(t.mean(mul(difference, difference)), [kernel]));
    expect(graph.filter((x) => x.op === "conv2dTranspose")).toEqual([]);
    expect(graph.filter((x) => x.op === "sigmoid")).toEqual([]);
    expect(graph.filter((x) => x.op === "conv2dKernel").length).toBe(1);
  });

  it("concatenates the gradients of chunks instead of padding and adding them", () => {
    const [a, b] = t.chunk(x, 2, 0) as [Tensor, Tensor];
    const [g] = gradients(sum(mul(a, t.exp(b))), [x]);
    const graph = topological([g!]).map((x) => x.op);
    expect(graph.filter((op) => op === "concat").length).toBe(1);
    expect(graph).not.toContain("pad");
  });

  it("differentiates a chain of fifty thousand operations", () => {
    let y = x;
    for (let i = 0; i < 50_000; i++) y = t.sin(y);
    expect(topological(gradients(sum(y), [x])).length).toBeGreaterThan(150_000);
  });
});

describe("reverse mode refuses", () => {
  const x = t.input("x", [2]);

  it("a loss of several elements", () => {
    expect(() => gradients(x, [x])).toThrow("gradients: the loss must have one element, got [2]. Sum it.");
  });

  it("an upstream gradient of another shape", () => {
    expect(() => vjp([x], [t.input("g", [3])], [x])).toThrow("input: its gradient must be [2], got [3]");
  });
});

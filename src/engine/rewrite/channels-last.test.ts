/** @file Graphs with channels last against the ONNX standard's operators, for every kind of convolution. */

import { describe, expect, it } from "vitest";
import { vjp } from "../../tensor/gradient.js";
import * as t from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import { count, type Padding, type Shape, type Tensor } from "../../tensor/tensor.js";
import { standard } from "../device.js";
import { floats, floatsOf } from "../engine.js";
import { lower } from "../lower.js";
import { blockingEngine } from "../ort/blocking-engine.js";
import { channelsLast } from "./channels-last.js";

const engine = blockingEngine({ threads: 1 });
const training = { ...standard, channelsLast: true };

/** Uniform in [-1, 1]. */
const numbers = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => {
    const wave = Math.sin((i + 1) * 12.9898 + seed * 78.233) * 43758.5453;
    return 2 * (wave - Math.floor(wave)) - 1;
  });

type Function = (...xs: Tensor[]) => Tensor;

/** The largest difference between both lowerings of a function and of its gradients, relative to the largest number. */
async function difference(shapes: readonly Shape[], of: Function): Promise<number> {
  const xs = shapes.map((shape, i) => t.input(`x${i}`, shape));
  const y = of(...xs);
  const gradients = vjp([y], [t.constant(numbers(count(y.shape), 9), y.shape)], xs);
  const outputs = { y, ...Object.fromEntries(gradients.map((g, i) => [`g${i}`, g!])) };
  const given = Object.fromEntries(
    shapes.map((shape, i) => [`x${i}`, floats(numbers(count(shape), i), ...shape)]),
  );
  const [wanted, got] = await Promise.all(
    [standard, training].map(async (device) => {
      const session = await engine.load(lower("test", outputs, { device }));
      const results = await session.run(given);
      await session.release();
      return results;
    }),
  );
  const errors = Object.keys(outputs).map((name) => {
    const [a, b] = [floatsOf(wanted![name]), floatsOf(got![name])];
    expect(got![name]!.shape).toEqual(wanted![name]!.shape);
    const largest = a.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    expect(largest).toBeGreaterThan(0);
    return a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0) / largest;
  });
  return Math.max(...errors);
}

const convolution =
  (options: { stride?: number; padding?: number | Padding }): Function =>
  (x, w, b) =>
    t.conv2d(x!, w!, b, options);

const convolutions: [string, Shape, Shape, { stride?: number; padding?: number | Padding }][] = [
  ["tiles of four", [3, 8, 16, 12], [6, 8, 3, 3], { padding: 1 }],
  ["tiles of four that do not fill the image", [5, 16, 7, 9], [12, 16, 3, 3], { padding: 1 }],
  ["tiles of two", [32, 16, 2, 2], [16, 16, 3, 3], { padding: 1 }],
  ["tiles without padding", [4, 16, 10, 10], [16, 16, 3, 3], { padding: 0 }],
  ["tiles padded unevenly", [4, 16, 9, 9], [16, 16, 3, 3], { padding: [0, 2, 1, 0] }],
  ["windows of a wide layer of few pixels", [1, 64, 2, 2], [64, 64, 3, 3], { padding: 1 }],
  ["windows of stride two", [2, 4, 7, 8], [6, 4, 3, 3], { stride: 2, padding: 1 }],
  [
    "windows of stride two, padded on one side",
    [2, 4, 8, 6],
    [6, 4, 3, 3],
    { stride: 2, padding: [0, 0, 1, 1] },
  ],
  ["windows of another size", [2, 3, 6, 5], [4, 3, 4, 2], { padding: 1 }],
  ["one pixel each", [2, 6, 5, 4], [8, 6, 1, 1], {}],
  ["one pixel in two", [2, 6, 5, 4], [8, 6, 1, 1], { stride: 2 }],
];

describe("channels last", () => {
  it.each(convolutions)("convolves by %s", async (_, x, w, options) => {
    expect(await difference([x, w, [w[0]!]], convolution(options))).toBeLessThan(1e-5);
  });

  const image: Shape = [2, 8, 4, 6];
  const w: Shape = [8, 8, 3, 3];
  const conv = (x: Tensor, w: Tensor) => t.conv2d(x, w, undefined, { padding: 1 });
  const cases: [string, Shape[], Function][] = [
    ["normalises groups", [image, [8], [8]], (x, a, b) => t.groupNorm(x!, a!, b!, 4, 1e-5)],
    ["adds a vector per channel", [image, w, [2, 8, 1, 1]], (x, w, v) => t.add(conv(x!, w!), v!)],
    ["scales by a vector of channels", [image, w, [8, 1, 1]], (x, w, v) => t.mul(v!, conv(x!, w!))],
    ["multiplies by a number", [image, w], (x, w) => t.mul(t.silu(conv(x!, w!)), 3)],
    ["adds an image without channels", [image, w, [4, 6]], (x, w, v) => t.add(conv(x!, w!), v!)],
    [
      "concatenates and slices channels",
      [image, w],
      (x, w) => t.slice(t.concat([conv(x!, w!), x!, conv(x!, w!)], 1), 1, 4, 20),
    ],
    [
      "concatenates and slices rows of pixels",
      [image, w],
      (x, w) => t.slice(t.concat([conv(x!, w!), conv(x!, w!)], 2), 3, 1, 5),
    ],
    [
      "resizes to twice the size",
      [image, w, [1, 1, 8, 12]],
      (x, w, y) => t.add(t.resize(conv(x!, w!), y!), y!),
    ],
    ["resizes to odd sizes", [image, w, [1, 1, 7, 9]], (x, w, y) => t.add(t.resize(conv(x!, w!), y!), y!)],
    ["repeats pixels", [image, w], (x, w) => t.upsample(conv(x!, w!), 2)],
    ["sums each image's channels", [image, w], (x, w) => t.sum(conv(x!, w!), [2, 3])],
    ["takes the mean of everything", [image, w], (x, w) => t.mean(conv(x!, w!))],
    ["sums rows", [image, w], (x, w) => t.sum(conv(x!, w!), [3])],
    [
      "returns its images in their traced shape",
      [image, w],
      (x, w) => t.transpose(conv(x!, w!), [0, 1, 3, 2]),
    ],
  ];
  it.each(cases)("%s", async (_, shapes, of) => {
    expect(await difference(shapes, of)).toBeLessThan(1e-5);
  });

  it("transposes nothing between convolutions, norms, activations, skips and tokens", () => {
    const x = t.transpose(t.input("tokens", [2, 24, 8]), [0, 2, 1]);
    const kernel = t.param("w", [8, 8, 3, 3]);
    const [a, b] = [t.param("a", [8]), t.param("b", [8])];
    const first = conv(t.reshape(x, [2, 8, 4, 6]), kernel);
    const second = t.add(first, conv(t.silu(t.groupNorm(first, a, b, 4, 1e-5)), kernel));
    const wide = t.slice(t.concat([first, second], 1), 1, 4, 12);
    const y = t.transpose(t.reshape(wide, [2, 8, -1]), [0, 2, 1]);
    const graph = topological([channelsLast({ y }).y]);
    expect(graph.filter((node) => node.op === "transpose")).toEqual([]);
    expect(topological([y]).filter((node) => node.op === "transpose").length).toBe(2);
  });
});

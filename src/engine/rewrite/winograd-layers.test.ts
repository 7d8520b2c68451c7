/** @file Which convolutions are computed by Winograd's algorithm. */

import { expect, it } from "vitest";
import { concat, conv2d, input, keep, param, reshape, silu, upsample } from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import { made, type Tensor } from "../../tensor/tensor.js";
import { deviceOf } from "../device.js";
import { deviceGraph } from "./device-graph.js";
import { winogradLayers } from "./winograd-layers.js";

const layer = (x: Tensor, path: string, channels: number, { stride = 1, kernel = 3 } = {}) =>
  conv2d(x, param(path, [channels, x.shape[1]!, kernel, kernel]), undefined, {
    stride,
    padding: (kernel - 1) / 2,
  });

/** Two resolutions down and one up, from latents of `size`. */
function network(size: number): Tensor {
  const sample = input("sample", [{ batch: 1 }, 4, { height: size }, { width: size }]);
  const first = layer(sample, "in", 256);
  const wide = layer(silu(first), "wide", 320);
  const point = layer(wide, "point", 256, { kernel: 1 });
  const half = layer(layer(point, "down", 512, { stride: 2 }), "half", 512);
  const quarter = layer(layer(half, "down again", 1024, { stride: 2 }), "quarter", 1024);
  const up = layer(upsample(quarter, 2), "up", 512);
  const narrow = layer(concat([up, half], 1), "narrow", 128);
  return layer(layer(upsample(narrow, 2), "narrow still", 256), "out", 4);
}

const found = (output: Tensor) =>
  topological([output]).flatMap((x) =>
    made("winogradConv2d", x) ? [[(x.inputs[1] as Tensor<"param">).attrs.path, x.attrs.bands]] : [],
  );

it("are wide ones of 3x3 at stride 1, at no less than half the resolution, whatever size is traced", () => {
  for (const size of [64, 24, 132])
    expect(found(winogradLayers({ out: network(size) }).out)).toEqual([
      ["wide", 1],
      ["half", 1],
      ["up", 1],
    ]);
});

it("an image that is larger than its latents is computed in bands", () => {
  const latents = input("latents", [1, 4, { height: 8 }, { width: 8 }]);
  const image = upsample(layer(latents, "in", 256), 8);
  expect(found(winogradLayers({ out: layer(image, "wide", 256) }).out)).toEqual([["wide", 5]]);
});

it("without an image among the inputs there are none", () => {
  const rows = reshape(input("rows", [{ batch: 1 }, 256 * 64]), [keep, 256, 8, 8]);
  expect(found(winogradLayers({ out: layer(rows, "wide", 256) }).out)).toEqual([]);
});

it("are computed so on the CPU with stored weights alone", () => {
  const out = network(64);
  const count = (device: Parameters<typeof deviceGraph>[1]) => found(deviceGraph({ out }, device).out).length;
  expect(count(deviceOf("cpu"))).toBe(3);
  expect(count(deviceOf("cpu", { weights: "int8" }))).toBe(0);
  expect(count(deviceOf("webgpu"))).toBe(0);
});
